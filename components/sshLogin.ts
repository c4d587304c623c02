import * as pulumi from "@pulumi/pulumi";
import { AuthorizedKey } from "./authorizedKey.ts";
import { ClientConfig } from "./clientConfig.ts";
import type { Host } from "./host.ts";
import { KeyPair } from "./keyPair.ts";
import { KnownHost } from "./knownHost.ts";
import { checked } from "./render/checks.ts";

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
 * a host's ssh does not know is left out there (scripts/sshFolder.sh, known_to_ssh).
 */
export function clientOptionsOf(login: ClientSide): pulumi.Output<Record<string, string | number>> {
  const files = `~/.ssh/ssh-reverse-tunnel/${checked("file", login.file)}`;
  const known = pulumi.all([login.address, login.port, login.account]);
  return known.apply(([address, port, account]): Record<string, string | number> => ({
    HostName: checked("plain", address),
    Port: checked("number", port),
    User: checked("account", account),

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

/** Arguments of {@link SshLogin}. */
export interface SshLoginArgs {
  /** Where the login starts: the host and the account, whose `~/.ssh` the key lies in. */
  from: { host: Host; account: pulumi.Input<string> };
  /** The host where it ends. */
  to: Host;
  /** What the client knows of it. */
  client: ClientSide;
  /** Options of the key in the other side's authorized_keys. */
  keyOptions: pulumi.Input<string[]>;
  /** What must be there before the key can be made, such as the account. */
  after?: pulumi.Resource[];
}

/**
 * A login without a password from an account on one host to an account on another: key pair, authorized key, pinned
 * host keys and Host entry.
 */
export class SshLogin extends pulumi.ComponentResource {
  constructor(name: string, args: SshLoginArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:SshLogin", name, {}, opts);
    const { from, to, client } = args;
    const onFrom = { parent: this, dependsOn: args.after };
    const keyPair = new KeyPair(
      `${name}-key`,
      {
        ...from,
        file: `${client.file}.key`,
        comment: pulumi.interpolate`${from.account}@${from.host.name}`,
      },
      onFrom,
    );
    new AuthorizedKey(
      `${name}-authorized-key`,
      { host: to, account: client.account, publicKey: keyPair.publicKey, options: args.keyOptions },
      { parent: this },
    );
    new KnownHost(
      `${name}-known-host`,
      {
        ...from,
        file: `${client.file}.known_hosts`,
        alias: client.aliases[0] ?? client.file,
        hostKeys: client.hostKeys,
      },
      onFrom,
    );
    new ClientConfig(
      `${name}-client-config`,
      { ...from, file: `${client.file}.conf`, patterns: client.aliases, options: clientOptionsOf(client) },
      onFrom,
    );
    this.registerOutputs({});
  }
}
