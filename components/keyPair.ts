import * as pulumi from "@pulumi/pulumi";
import { answerOf } from "./answer.ts";
import { checkedInput } from "./checkedInput.ts";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { oneLine } from "./render/checks.ts";

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

/** As ssh-keygen writes it: no options before it, and nothing behind its comment. */
const publicKey = /^ssh-ed25519 [A-Za-z0-9+/]+={0,2}( \P{Cc}*)?$/u;

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
      what: pulumi.interpolate`the key pair ${args.file} of ${args.account}`,
      parts: [
        {
          script: "keyPair",
          values: {
            ACCOUNT: checkedInput("account", args.account),
            FILE: checkedInput("file", args.file),
            COMMENT: pulumi.output(args.comment).apply(oneLine),
          },
        },
      ],
    });
    // Before it may be what the admin's login shell greets with.
    this.publicKey = stdout
      .apply((text) => text.split("\n").at(-1) ?? "")
      .apply((line) => answerOf(args.host.name, line, publicKey.test(line), "its public key"));
    this.registerOutputs({ publicKey: this.publicKey });
  }
}
