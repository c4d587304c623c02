import * as pulumi from "@pulumi/pulumi";
import { AuthorizedKey } from "./authorizedKey.ts";
import { ClientConfig } from "./clientConfig.ts";
import type { Host } from "./host.ts";
import { KeyPair } from "./keyPair.ts";
import { KnownHost } from "./knownHost.ts";
import { fingerprintOf } from "./remoteComponent.ts";

/** Arguments of {@link SshLogin}. */
export interface SshLoginArgs {
  /** Where the login starts: the host and the account, whose `~/.ssh` the key lies in. */
  from: { host: Host; account: pulumi.Input<string> };
  /** Where it ends: the host, the account, and its host keys as read at the source. */
  to: { host: Host; account: pulumi.Input<string>; hostKeys: pulumi.Input<string[]> };
  /** What the files below `~/.ssh/ssh-reverse-tunnel` are called: `<file>.key`, `.conf`, `.known_hosts`. */
  file: string;
  /** What is typed after `ssh`. */
  aliases: string[];
  /** HostName and Port of the Host entry. */
  address: pulumi.Input<string>;
  /** @see address */
  port: pulumi.Input<number>;
  /** Options of the key in the other side's authorized_keys. */
  keyOptions: pulumi.Input<string[]>;
  /** Further options of the Host entry, ssh_config(5). */
  clientOptions: Record<string, string | number>;
  /** The authorized_keys file on the other side. @default the one that sshd reads there */
  keysFile?: pulumi.Input<string>;
  /** What must be there before the key can be made, such as the account. */
  afterFrom?: pulumi.Resource[];
  /** What must be there before the key can be authorized. */
  afterTo?: pulumi.Resource[];
}

/**
 * A login without a password from an account on one host to an account on another: key pair, authorized key, pinned
 * host keys and Host entry. A tunnel is one, and each of its return paths is one the other way round.
 */
export class SshLogin extends pulumi.ComponentResource {
  /** Another text whenever the key or the client's side of the login is another. */
  public readonly fingerprint: pulumi.Output<string>;

  constructor(name: string, args: SshLoginArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:SshLogin", name, {}, opts);
    const { from, to, file } = args;
    const onFrom = { parent: this, dependsOn: args.afterFrom };
    const alias = args.aliases[0] ?? file;
    const folder = "~/.ssh/ssh-reverse-tunnel";

    const keyPair = new KeyPair(
      `${name}-key`,
      { ...from, file: `${file}.key`, comment: pulumi.interpolate`${from.account}@${from.host.name}` },
      onFrom,
    );
    new AuthorizedKey(
      `${name}-authorized-key`,
      { ...to, publicKey: keyPair.publicKey, options: args.keyOptions, file: args.keysFile },
      { parent: this, dependsOn: args.afterTo },
    );
    const knownHost = new KnownHost(
      `${name}-known-host`,
      { ...from, file: `${file}.known_hosts`, alias, hostKeys: to.hostKeys },
      onFrom,
    );
    const clientConfig = new ClientConfig(
      `${name}-client-config`,
      {
        ...from,
        file: `${file}.conf`,
        patterns: args.aliases,
        options: pulumi.all([args.address, args.port, to.account]).apply(([address, port, account]) => ({
          HostName: address,
          Port: port,
          User: account,
          IdentityFile: `${folder}/${file}.key`,
          IdentitiesOnly: "yes",
          HostKeyAlias: alias,
          UserKnownHostsFile: `${folder}/${file}.known_hosts`,
          GlobalKnownHostsFile: "/dev/null",
          StrictHostKeyChecking: "yes",
          UpdateHostKeys: "no",
          ...args.clientOptions,
        })),
      },
      onFrom,
    );

    this.fingerprint = pulumi
      .all([keyPair.publicKey, knownHost.fingerprint, clientConfig.fingerprint])
      .apply((parts) => fingerprintOf(parts.join()));
    this.registerOutputs({ fingerprint: this.fingerprint });
  }
}
