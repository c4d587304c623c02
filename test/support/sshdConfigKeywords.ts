/**
 * Every keyword of sshd_config(5), from OpenSSH 10.6 and the distributions' additions, and what happens to a tunnel if the
 * administrator or a package sets it on a public host, for everyone or in a Match that tunnel accounts meet.
 */
export interface SshdKeyword {
  /**
   * - `fixed`: our Match for tunnel accounts sets it, and sshd takes the first value;
   * - `checked`: `pulumi up` looks at it, and says what to change if it keeps a tunnel out;
   * - `left`: the administrator's value applies, for a reason. If it keeps a tunnel out, the last check of `pulumi up` shows
   *   what sshd said about that;
   * - `harmless`: no value affects a tunnel;
   * - `block`: determines to whom the keywords after it apply.
   */
  what: "fixed" | "checked" | "left" | "harmless" | "block";
  why: string;
  /** The worst possible value that somebody may have set. */
  bad?: string | undefined;
}

const fixed = (why: string, bad: string): SshdKeyword => ({ what: "fixed", why, bad });
const checked = (why: string): SshdKeyword => ({ what: "checked", why });
const left = (why: string, bad?: string): SshdKeyword => ({ what: "left", why, bad });
const harmless = (why: string, bad?: string): SshdKeyword => ({ what: "harmless", why, bad });
const block = (why: string): SshdKeyword => ({ what: "block", why });

const cryptography = "what cryptography must be is the administrator's to say (RHEL's crypto policies, FIPS)";
const keysOnly = "AuthenticationMethods is publickey";
const noCertificates = "TrustedUserCAKeys is none";
const noX11 = "X11Forwarding is no";
const noSockets = "AllowStreamLocalForwarding is no";
const noTerminal = "PermitTTY is no";
const overload =
  "how many may connect at once is the administrator's to say; a tunnel that is refused tries again";

export const sshdKeywords: Record<string, SshdKeyword> = {
  Match: block("our Match is in the first file that sshd reads"),
  Include: block("what it names is read after ours, or sshd -T shows another value than ours"),

  // Who may log in.
  AllowUsers: fixed("it names the tunnel accounts there, in place of the host's own", "nobody"),
  DenyUsers: checked("an account that it names is refused"),
  AllowGroups: checked("an account without such a group is refused"),
  DenyGroups: checked("an account with such a group is refused"),
  RefuseConnection: left("for connections that nobody is to have"),
  PermitRootLogin: harmless("no tunnel account is root"),
  PermitEmptyPasswords: harmless(keysOnly, "yes"),
  MaxAuthTries: left("a tunnel offers one key", "1"),
  LoginGraceTime: left("a tunnel that is too slow tries again", "20"),
  UsePAM: checked("without PAM, sshd refuses an account whose password begins with '!'; ours is '*'"),
  PAMServiceName: left("PAM's own rules for accounts are the administrator's (pam_access, HBAC)"),

  // With what.
  PubkeyAuthentication: fixed("with no, no key is accepted", "no"),
  AuthenticationMethods: fixed("it may ask for more than a key", "publickey,password"),
  AuthorizedKeysFile: fixed("root's folder and no other", "none"),
  AuthorizedKeysCommand: fixed("a program could add keys", "/bin/false"),
  AuthorizedKeysCommandUser: harmless("AuthorizedKeysCommand is none", "nobody"),
  TrustedUserCAKeys: fixed(
    "with a CA, its certificates are accepted as well as keys",
    "/etc/ssh/stranger.pub",
  ),
  AuthorizedPrincipalsCommand: harmless(noCertificates, "/bin/false"),
  AuthorizedPrincipalsCommandUser: harmless(noCertificates, "nobody"),
  AuthorizedPrincipalsFile: harmless(noCertificates, "/nonexistent"),
  CASignatureAlgorithms: harmless(noCertificates, "rsa-sha2-512"),
  StrictModes: checked("with yes, keys are not read where somebody else may write"),
  PubkeyAcceptedAlgorithms: left(cryptography, "ssh-ed25519,rsa-sha2-512"),
  PubkeyAuthOptions: harmless("for keys in hardware only", "verify-required"),
  RevokedKeys: left("it can refuse a key and not accept one"),
  RequiredRSASize: harmless("a tunnel's key is not RSA", "4096"),
  PasswordAuthentication: harmless(keysOnly, "yes"),
  KbdInteractiveAuthentication: harmless(keysOnly, "yes"),
  HostbasedAuthentication: harmless(keysOnly, "yes"),
  HostbasedAcceptedAlgorithms: harmless(keysOnly, "rsa-sha2-512"),
  HostbasedUsesNameFromPacketOnly: harmless(keysOnly, "yes"),
  IgnoreRhosts: harmless(keysOnly, "no"),
  IgnoreUserKnownHosts: harmless(keysOnly, "yes"),
  GSSAPIAuthentication: harmless(keysOnly, "yes"),
  GSSAPICleanupCredentials: harmless(keysOnly, "no"),
  GSSAPIDelegateCredentials: harmless(keysOnly, "yes"),
  GSSAPIEnablek5users: harmless(keysOnly, "yes"),
  GSSAPIKexAlgorithms: harmless(keysOnly, "gss-group14-sha256-"),
  GSSAPIKeyExchange: harmless("our client does not ask for it", "yes"),
  GSSAPIStoreCredentialsOnRekey: harmless(keysOnly, "yes"),
  GSSAPIStrictAcceptorCheck: harmless(keysOnly, "no"),
  GSSAPIIndicators: harmless(keysOnly),
  KerberosAuthentication: harmless(keysOnly),
  KerberosGetAFSToken: harmless(keysOnly),
  KerberosOrLocalPasswd: harmless(keysOnly),
  KerberosTicketCleanup: harmless(keysOnly),
  KerberosUniqueCCache: harmless(keysOnly),
  KerberosUseKuserok: harmless(keysOnly),
  SecurityKeyProvider: harmless("for keys in hardware only", "internal"),

  // What a session may do.
  ForceCommand: fixed("it would take the place of the key's own command", "/bin/false"),
  ChrootDirectory: fixed("sshd ends a connection that it cannot lock in there", "/nonexistent"),
  MaxSessions: fixed("with 0, nothing can end the earlier session", "0"),
  PermitTTY: fixed("a tunnel needs none", "yes"),
  PermitUserRC: fixed("a program of the account's own would run", "yes"),
  PermitUserEnvironment: harmless("tunnel accounts have no home for such a file", "yes"),
  AcceptEnv: left("adds up, and cannot be taken back", "LANG LC_*"),
  SetEnv: left("what the administrator gives to each session", "TUNNEL=yes"),
  ExposeAuthInfo: harmless("a file with what everyone may know", "yes"),
  Subsystem: harmless("the key's own command takes its place"),
  PrintMotd: harmless(noTerminal, "yes"),
  PrintLastLog: harmless(noTerminal, "yes"),
  Banner: harmless("the tunnel's journal does not take it", "/etc/passwd"),
  RDomain: left("OpenBSD only: which routes a session has"),

  // What it may forward.
  DisableForwarding: fixed("with yes, there is no forward", "yes"),
  AllowTcpForwarding: fixed("with no, there is no forward", "no"),
  GatewayPorts: fixed("with no, sshd listens on loopback whatever it is asked for", "no"),
  PermitListen: fixed("with none, there is no forward", "none"),
  PermitOpen: fixed("with none, nothing can be tested through the tunnel", "none"),
  AllowStreamLocalForwarding: fixed("permitlisten does not cover sockets", "yes"),
  StreamLocalBindMask: harmless(noSockets, "0000"),
  StreamLocalBindUnlink: harmless(noSockets, "yes"),
  AllowAgentForwarding: fixed("a tunnel needs none", "yes"),
  AgentSocketPath: harmless("AllowAgentForwarding is no", "shared:/tmp"),
  PermitTunnel: fixed("a network device would be made", "yes"),
  X11Forwarding: fixed("a tunnel needs none", "yes"),
  X11DisplayOffset: harmless(noX11, "1"),
  X11UseLocalhost: harmless(noX11, "no"),
  XAuthLocation: harmless(noX11, "/bin/false"),
  AddressFamily: checked("sshd listens for a forward only on addresses of that family"),

  // How long it lasts.
  ChannelTimeout: fixed("connections through a tunnel may be idle (OpenSSH 10.5; before, a warning)", "*=2"),
  UnusedConnectionTimeout: fixed("a tunnel that nobody uses has no channels", "2"),
  ClientAliveInterval: fixed("a setting of the public host", "0"),
  ClientAliveCountMax: fixed("a setting of the public host", "0"),
  TCPKeepAlive: harmless("ClientAliveInterval finds a dead peer", "no"),
  RekeyLimit: left(`${cryptography}; new keys interrupt nothing`, "1M 10"),

  // How it connects.
  Port: left("the setting sshPort says which one"),
  ListenAddress: left("the setting address says which one"),
  HostKey: left("each run reads which keys there are"),
  HostKeyAgent: left("each run reads which keys there are"),
  HostCertificate: harmless("our known_hosts files name no CA"),
  HostKeyAlgorithms: left(cryptography),
  KexAlgorithms: left(cryptography, "curve25519-sha256"),
  Ciphers: left(cryptography, "aes256-ctr"),
  MACs: left(cryptography, "hmac-sha2-512"),
  Compression: left("slower or faster, and no less safe", "no"),
  IPQoS: left("how this network wants it", "cs1 cs1"),
  UseDNS: left("a slow name server delays each login, of everyone"),
  MaxStartups: left(overload),
  PerSourceMaxStartups: left(overload),
  PerSourceNetBlockSize: left(overload),
  PerSourcePenalties: left(overload),
  PerSourcePenaltyExemptList: left(overload),
  ModuliFile: left(cryptography),

  // Its own files, and what it tells the journal.
  LogLevel: left("with QUIET, nobody can say why a tunnel is refused", "INFO"),
  LogVerbose: harmless("more in the journal"),
  WarnWeakCrypto: harmless("more in the journal, or less", "no"),
  SyslogFacility: harmless("the journal has them all", "LOCAL7"),
  FingerprintHash: harmless("how a fingerprint is shown", "md5"),
  VersionAddendum: harmless("a comment that the other side sees", "x"),
  DebianBanner: harmless("a comment that the other side sees", "no"),
  PidFile: harmless("systemd knows it", "none"),
  SshdSessionPath: harmless("sshd's own program"),
  SshdAuthPath: harmless("sshd's own program"),
};

/** As sshd compares them. */
export const sshdKeywordOf = (name: string): SshdKeyword | undefined => byLowerCase.get(name.toLowerCase());

const byLowerCase = new Map(
  Object.entries(sshdKeywords).map(([name, keyword]) => [name.toLowerCase(), keyword]),
);

/** The keywords with a bad value that meet the condition, each in a line of sshd_config. */
export function badSshdLines(wanted: (keyword: SshdKeyword) => boolean): string[] {
  return Object.entries(sshdKeywords)
    .filter(([, keyword]) => keyword.bad !== undefined && wanted(keyword))
    .map(([name, { bad }]) => `${name} ${bad}`);
}
