import * as pulumi from "@pulumi/pulumi";
import { assertValid } from "../../render/checks.ts";

/** What the client of a login needs to know. */
export interface ClientSide {
  /** The base name of the files below `~/.ssh/ssh-reverse-tunnel`: `<file>.conf`, `.known_hosts`. */
  file: string;
  /** The name of the key there. */
  keyFile: string;
  /** What is typed after `ssh`. The host keys are listed under the first name (HostKeyAlias). */
  aliases: string[];
  /** HostName and Port of the Host entry. */
  address: pulumi.Input<string>;
  /** @see address */
  port: pulumi.Input<number>;
  /** The account to log in to. */
  account: pulumi.Input<string>;
  /** The host keys of the other host, as read there. */
  hostKeys: pulumi.Input<string[]>;
  /** Further options of the Host entry, ssh_config(5). */
  options: Record<string, string | number>;
}

/**
 * The options of the Host entry. It uses only our key and our host keys. ssh takes the first value that it finds, and
 * finds ours first. The entry therefore sets every option with which the host's own configuration for all hosts (`Host
 * *`) could trust someone else, run something or end the connection, even if our value is ssh's default. Options that
 * the host's ssh does not know are left out on the host (shell/lib/sshFolder.sh, known_to_ssh).
 */
export function clientOptionsOf(login: ClientSide): pulumi.Output<Record<string, string | number>> {
  const folder = "~/.ssh/ssh-reverse-tunnel";
  const files = `${folder}/${assertValid("file", login.file)}`;
  const known = pulumi.all([login.address, login.port, login.account]);
  return known.apply(([address, port, account]): Record<string, string | number> => ({
    HostName: assertValid("plain", address),
    Port: assertValid("number", port),
    User: assertValid("account", account),

    // Our identity.
    IdentityFile: `${folder}/${assertValid("file", login.keyFile)}`,
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    AddKeysToAgent: "no",
    PKCS11Provider: "none",
    PubkeyAuthentication: "yes",
    PreferredAuthentications: "publickey",

    // The identity of the other host.
    HostKeyAlias: login.aliases[0] ?? login.file,
    UserKnownHostsFile: `${files}.known_hosts`,
    GlobalKnownHostsFile: "/dev/null",
    KnownHostsCommand: "none",
    VerifyHostKeyDNS: "no",
    NoHostAuthenticationForLocalhost: "no",
    GSSAPIKeyExchange: "no", // Kerberos would authenticate the other host instead of its host key
    StrictHostKeyChecking: "yes",
    UpdateHostKeys: "no",
    CheckHostIP: "no", // would write into our known_hosts file
    CanonicalizeHostname: "no",

    // The connection does only what the command line requests.
    ControlMaster: "no",
    ControlPath: "none", // whoever listens on such a socket would be trusted as the other host
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
