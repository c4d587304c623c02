import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";

/** Arguments of {@link KeyPair}. */
export interface KeyPairArgs {
  /** The host that the key is made on, and never leaves. */
  host: Host;
  /** The account that will log in with it. */
  account: pulumi.Input<string>;
  /** File name below `~/.ssh/ssh-reverse-tunnel`. @example "nas.key" */
  file: pulumi.Input<string>;
  /** Comment of the public key. */
  comment: pulumi.Input<string>;
}

/**
 * An ed25519 key pair, made on its host with ssh-keygen(1). The private half is no output and never in the state.
 * A file of that name that is not ours is refused, never overwritten.
 */
export class KeyPair extends RemoteComponent {
  /** The public half: `ssh-ed25519 AAAA… comment`. */
  public readonly publicKey: pulumi.Output<string>;

  constructor(name: string, args: KeyPairArgs, opts?: pulumi.ComponentResourceOptions) {
    super("KeyPair", name, opts);
    const { stdout } = this.run(`${name}-script`, {
      host: args.host,
      script: "keyPair",
      what: pulumi.interpolate`the key pair ${args.file} of ${args.account}`,
      values: { ACCOUNT: args.account, FILE: args.file, COMMENT: args.comment },
    });
    // Before it may be what the admin's login shell greets with.
    this.publicKey = stdout.apply((text) => text.trimEnd().split("\n").at(-1) ?? "");
    this.registerOutputs({ publicKey: this.publicKey });
  }
}
