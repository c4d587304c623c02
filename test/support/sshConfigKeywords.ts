/**
 * Every keyword of ssh_config(5), from OpenSSH 10.6 and the distributions' additions, and what happens if the
 * administrator or a package sets it for all hosts (`Host *`).
 */
export interface Keyword {
  /**
   * - `fixed`: our Host entries for tunnels and logins back set it, and ssh takes the first value;
   * - `fixed for tunnels`, `fixed for logins back`: only one of them sets it, and `why` explains the other;
   * - `left`: the administrator's value applies, for a reason;
   * - `harmless`: no value affects our connections;
   * - `block`: determines to which hosts the keywords after it apply.
   */
  what: "fixed" | "fixed for tunnels" | "fixed for logins back" | "left" | "harmless" | "block";
  why: string;
  /** The worst possible values that somebody may have set for all hosts. */
  bad?: string;
}

const fixed = (why: string, bad: string): Keyword => ({ what: "fixed", why, bad });
const forTunnels = (why: string, bad: string): Keyword => ({ what: "fixed for tunnels", why, bad });
const forLogins = (why: string, bad: string): Keyword => ({ what: "fixed for logins back", why, bad });
const left = (why: string, bad?: string): Keyword => ({ what: "left", why, bad });
const harmless = (why: string, bad?: string): Keyword => ({ what: "harmless", why, bad });
const block = (why: string): Keyword => ({ what: "block", why });

const ours = "ours is in the entry";
const cryptography = "what cryptography must be is the administrator's to say (RHEL's crypto policies, FIPS)";
const canonical = "names are not made canonical";
const noPrompt = "a tunnel's BatchMode asks nothing; a person may be asked";
const kerberos = "no method of Kerberos is in PreferredAuthentications, and GSSAPIKeyExchange is no";
const noX11 = "ForwardX11 is no";
const noSockets = "no forward of ours is a unix socket";

/** A file that every account may read, with one key that nobody knows: it would be offered, or trusted. */
export const STRANGER = "/etc/ssh/stranger";

export const keywords: Record<string, Keyword> = {
  Host: block("our Include is the first line of the account's file, before any"),
  Match: block("evaluated by ssh wherever it is, `exec` too: no entry can keep ssh from that"),
  Include: block("what it names is read after ours"),

  // The identity of the other host.
  HostKeyAlias: fixed("known_hosts has the key under it", "elsewhere"),
  UserKnownHostsFile: fixed("the pinned host keys and no others", `${STRANGER}.known_hosts`),
  GlobalKnownHostsFile: fixed("the pinned host keys and no others", `${STRANGER}.known_hosts`),
  KnownHostsCommand: fixed(
    "its output is trusted as known_hosts is",
    `/bin/sh -c 'sed s/^stranger/%H/ ${STRANGER}.known_hosts; echo %H >>/tmp/ran'`,
  ),
  VerifyHostKeyDNS: fixed("with yes, a DNS server may vouch for a key", "yes"),
  NoHostAuthenticationForLocalhost: fixed("with yes, a login back trusts any key", "yes"),
  StrictHostKeyChecking: fixed("with no or accept-new, an unknown key is trusted", "no"),
  UpdateHostKeys: fixed("with yes, the other side may add keys", "yes"),
  CheckHostIP: fixed("with yes, ssh writes into our known_hosts file", "yes"),
  GSSAPIKeyExchange: fixed("with yes, Kerberos vouches for the other side, not its host key", "yes"),
  CanonicalizeHostname: fixed("with yes, the name is another, and so is what is said of it", "always"),
  CanonicalDomains: harmless(canonical, "example.org"),
  CanonicalizeFallbackLocal: harmless(canonical, "no"),
  CanonicalizeMaxDots: harmless(canonical, "9"),
  CanonicalizePermittedCNAMEs: harmless(canonical, "*:*"),
  HashKnownHosts: harmless("nothing is added to our known_hosts file", "yes"),
  RevokedHostKeys: left("it can refuse a key and not trust one"),
  HostKeyAlgorithms: left(cryptography, "ssh-ed25519,rsa-sha2-512"),
  CASignatureAlgorithms: left(`${cryptography}; our known_hosts files name no CA`, "ssh-ed25519"),
  RequiredRSASize: left(cryptography, "3072"),
  FingerprintHash: harmless("how a fingerprint is shown", "md5"),
  VisualHostKey: harmless("how a fingerprint is shown", "yes"),

  // Its location.
  HostName: fixed(ours, "192.0.2.1"),
  Port: fixed(ours, "9"),
  User: fixed(ours, "nobody"),
  AddressFamily: forLogins("a tunnel's is the administrator's: how this host gets out", "inet6"),
  BindAddress: left("how this host gets out; any address of its own reaches its own ports, too"),
  BindInterface: left("how this host gets out; any address of its own reaches its own ports, too"),
  ProxyCommand: forLogins(
    "a tunnel's is the administrator's: it may be the only way out of that network, and the host key is checked behind it",
    "exec false",
  ),
  ProxyJump: forLogins("as ProxyCommand, which shuts it out", "elsewhere.example.org"),
  ProxyUseFdpass: harmless("about ProxyCommand", "yes"),

  // Our identity.
  IdentityFile: harmless(
    "adds up: others are offered after ours, and open nothing, since a tunnel's account on the public host takes one key and a person's own keys open what they open anyway",
    STRANGER,
  ),
  CertificateFile: harmless("adds up, and is of use with its own key only", `${STRANGER}-cert.pub`),
  IdentitiesOnly: fixed("with no, every key of an agent is offered", "no"),
  IdentityAgent: fixed("an agent's keys come before ours", "/run/agent"),
  AddKeysToAgent: fixed("with yes, our key would be in an agent, which may be forwarded", "yes"),
  PKCS11Provider: fixed("a library that ssh loads", "/usr/lib/nothing.so"),
  SecurityKeyProvider: harmless(
    "a library that ssh loads for keys on a token; ours is none",
    "/usr/lib/no.so",
  ),
  PubkeyAuthentication: fixed("with no, our key is of no use", "no"),
  PreferredAuthentications: fixed(
    "a tunnel's is the key alone; what the internal host asks a person for may be typed",
    "gssapi-with-mic,hostbased,password",
  ),
  PubkeyAcceptedAlgorithms: left(cryptography, "ssh-ed25519,rsa-sha2-512"),
  PasswordAuthentication: harmless(noPrompt, "yes"),
  KbdInteractiveAuthentication: harmless(noPrompt, "yes"),
  KbdInteractiveDevices: harmless(noPrompt, "pam"),
  NumberOfPasswordPrompts: harmless(noPrompt, "9"),
  HostbasedAuthentication: harmless("not in PreferredAuthentications", "yes"),
  HostbasedAcceptedAlgorithms: harmless("not in PreferredAuthentications", "ssh-ed25519"),
  EnableSSHKeysign: harmless("not in PreferredAuthentications", "yes"),
  GSSAPIAuthentication: harmless(kerberos, "yes"),
  GSSAPIDelegateCredentials: harmless(kerberos, "yes"),
  GSSAPIKexAlgorithms: harmless(kerberos, "gss-group14-sha256-"),
  GSSAPIRenewalForcesRekey: harmless(kerberos, "yes"),
  GSSAPITrustDNS: harmless(kerberos, "yes"),
  GSSAPIClientIdentity: harmless(kerberos, "x@EXAMPLE.ORG"),
  GSSAPIServerIdentity: harmless(kerberos, "x.example.org"),

  // What it runs and passes on.
  PermitLocalCommand: fixed("with yes, LocalCommand runs", "yes"),
  LocalCommand: harmless("PermitLocalCommand is no", "echo local >>/tmp/ran"),
  RemoteCommand: fixed("it would take the place of what was typed, and ends a tunnel", "echo remote"),
  ForwardAgent: fixed("with yes, the other side may use the account's agent", "yes"),
  ForwardX11: fixed("with yes, the other side may use the account's display", "yes"),
  ForwardX11Timeout: harmless(noX11, "1"),
  ForwardX11Trusted: harmless(noX11, "yes"),
  XAuthLocation: harmless(noX11, "/bin/false"),
  SendEnv: harmless(
    "adds up, and cannot be taken back; a tunnel has no session, and a person's is the administrator's (LANG)",
    "PATH HOME",
  ),
  SetEnv: harmless("as SendEnv; the other side's AcceptEnv decides", "BASH_ENV=/tmp/x"),
  Tunnel: fixed("with yes, a network device is made on both sides", "yes"),
  TunnelDevice: harmless("Tunnel is no", "0:0"),
  LocalForward: harmless("adds up: ClearAllForwardings", "127.0.0.1:22 127.0.0.1:23"),
  DynamicForward: harmless("adds up: ClearAllForwardings", "127.0.0.1:22"),
  RemoteForward: harmless("adds up: ClearAllForwardings", "127.0.0.1:22 127.0.0.1:23"),
  ClearAllForwardings: forLogins(
    "the tunnel's program sets it on its command line, and asks for its forwards over the control socket",
    "no",
  ),
  ExitOnForwardFailure: forTunnels("a login back has no forwards", "no"),
  GatewayPorts: harmless("about LocalForward and DynamicForward", "yes"),
  PermitRemoteOpen: harmless("about remote SOCKS proxies; each of our forwards names its target", "none"),
  StreamLocalBindMask: harmless(noSockets, "0000"),
  StreamLocalBindUnlink: harmless(noSockets, "yes"),

  // How it connects.
  ControlMaster: fixed("the tunnel's program asks for its own on its command line", "auto"),
  ControlPath: fixed("whoever listens on such a socket would be taken for the other side", "/tmp/control-%r"),
  ControlPersist: fixed("would send the tunnel to the background, where systemd takes it for ended", "yes"),
  ForkAfterAuthentication: fixed("would send the tunnel to the background", "yes"),
  SessionType: fixed("with none or subsystem, what was typed does not run", "none"),
  StdinNull: fixed("with yes, what is piped into ssh does not arrive", "yes"),
  RequestTTY: fixed("with force, bytes do not arrive as they are", "force"),
  BatchMode: forTunnels(noPrompt, "no"),
  ConnectTimeout: forTunnels("a person may wait", "0"),
  ConnectionAttempts: forTunnels("a person may wait", "99"),
  ServerAliveInterval: fixed(ours, "0"),
  ServerAliveCountMax: fixed(ours, "99"),
  TCPKeepAlive: harmless("ServerAliveInterval finds a dead peer", "no"),
  ChannelTimeout: forTunnels("for a person's session it is a policy of the administrator's", "*=1"),
  LogLevel: forTunnels("for a person it is a matter of taste", "QUIET"),
  LogVerbose: harmless("more in the journal", "kex.c:*:1000"),
  SyslogFacility: harmless("with ssh -y only", "LOCAL7"),
  Ciphers: left(
    `${cryptography}; a tunnel puts AES-GCM first among them`,
    "aes256-gcm@openssh.com,aes256-ctr",
  ),
  MACs: left(cryptography, "hmac-sha2-512-etm@openssh.com"),
  KexAlgorithms: left(cryptography, "curve25519-sha256,ecdh-sha2-nistp256"),
  RekeyLimit: left(cryptography, "1G 3600"),
  WarnWeakCrypto: left(cryptography, "no"),
  Compression: left("slower or faster, and no less safe", "yes"),
  IPQoS: left("how this network wants it", "cs1 cs1"),
  EscapeChar: harmless("only on a terminal, a matter of taste", "%"),
  EnableEscapeCommandline: harmless("only on a terminal, a matter of taste", "yes"),
  ObscureKeystrokeTiming: harmless("only on a terminal", "no"),
  VersionAddendum: harmless("a comment that the other side sees", "x"),
  Tag: harmless("for Match tagged", "x"),
  IgnoreUnknown: harmless("what an older ssh does not know is left out of the entry on its host", "nothing"),
  RefuseConnection: left("ssh ends wherever it finds it, whatever was said before: that is what it is for"),
};

/** As ssh compares them. */
export const keywordOf = (name: string): Keyword | undefined => byLowerCase.get(name.toLowerCase());

const byLowerCase = new Map(Object.entries(keywords).map(([name, keyword]) => [name.toLowerCase(), keyword]));

/** The bad value of each keyword that meets the condition, as lines for all hosts. */
export function badConfiguration(wanted: (name: string, keyword: Keyword) => boolean): string {
  const bad = Object.entries(keywords).filter(
    ([name, keyword]) => keyword.bad !== undefined && wanted(name, keyword),
  );
  return ["Host *", ...bad.map(([name, { bad: value }]) => `    ${name} ${value}`), ""].join("\n");
}
