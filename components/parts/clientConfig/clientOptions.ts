import * as pulumi from "@pulumi/pulumi";
import { assertValid } from "../../render/checks.ts";

/** What the client of a login knows of it. */
export interface ClientSide {
  /** What the files below `~/.ssh/ssh-reverse-tunnel` are called: `<file>.key`, `.conf`, `.known_hosts`. */
  file: string;
  /** What is typed after `ssh`. The first of them is the name of the host keys (HostKeyAlias). */
  aliases: string[];
  /** HostName and Port of the Host entry. */
  address: pulumi.Input<string>;
  /** @see address */
  port: pulumi.Input<number>;
  /** The account that is logged in to. */
  account: pulumi.Input<string>;
  /** The host keys of the other side, as read at the source. */
  hostKeys: pulumi.Input<string[]>;
  /** Further options of the Host entry, ssh_config(5). */
  options: Record<string, string | number>;
}

/**
 * The options of the Host entry: the key and the host keys that are ours, and no others. ssh takes the first value that it
 * finds, and finds ours first: so whatever else the host's own configuration says of every host (`Host *`) and would let
 * somebody else be trusted, run something or end the connection is set here, even where ssh's default is the same. What
 * a host's ssh does not know is left out there (shell/lib/sshFolder.sh, known_to_ssh).
 */
export function clientOptionsOf(login: ClientSide): pulumi.Output<Record<string, string | number>> {
  const files = `~/.ssh/ssh-reverse-tunnel/${assertValid("file", login.file)}`;
  const known = pulumi.all([login.address, login.port, login.account]);
  return known.apply(([address, port, account]): Record<string, string | number> => ({
    HostName: assertValid("plain", address),
    Port: assertValid("number", port),
    User: assertValid("account", account),

    // Who we are.
    IdentityFile: `${files}.key`,
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    AddKeysToAgent: "no",
    PKCS11Provider: "none",
    PubkeyAuthentication: "yes",
    PreferredAuthentications: "publickey",

    // Who the other side is.
    HostKeyAlias: login.aliases[0] ?? login.file,
    UserKnownHostsFile: `${files}.known_hosts`,
    GlobalKnownHostsFile: "/dev/null",
    KnownHostsCommand: "none",
    VerifyHostKeyDNS: "no",
    NoHostAuthenticationForLocalhost: "no",
    GSSAPIKeyExchange: "no", // Kerberos would vouch for the other side, in place of its host key
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    CheckHostIP: "no", // would write into our known_hosts file
    CanonicalizeHostname: "no",

    // What the connection does: nothing but what the command line asks for.
    ControlMaster: "no",
    ControlPath: "none", // whoever listens on such a socket would be taken for the other side
    ControlPersist: "no",
    ForwardAgent: "no",
    ForwardX11: "no",
    Tunnel: "no",
    PermitLocalCommand: "no",
    RemoteCommand: "none",
    RequestTTY: "auto",
    SessionType: "default",
    StdinNull: "no",
    ForkAfterAuthentication: "no",
    ...login.options,
  }));
}
