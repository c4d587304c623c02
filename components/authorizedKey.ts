import * as pulumi from "@pulumi/pulumi";
import { checkedInput } from "./checkedInput.ts";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { ownerId } from "./remoteScript.ts";
import { renderAuthorizedKeyLine } from "./render/authorizedKeyLine.ts";

/** Arguments of {@link AuthorizedKey}. */
export interface AuthorizedKeyArgs {
  /** The host to log in to. */
  host: Host;
  /** The account to log in to. */
  account: pulumi.Input<string>;
  /** The public key that may log in. */
  publicKey: pulumi.Input<string>;
  /** Options of the line, for example `restrict`; sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
  options: pulumi.Input<string[]>;
  /**
   * The authorized_keys file, if root owns it.
   * @default the first that sshd reads for the account (`sshd -T`, AuthorizedKeysFile)
   */
  file?: pulumi.Input<string>;
  /**
   * Whether the key keeps what its line permitted before (`permitlisten`, `permitopen`), for a running login that may have to
   * return to its earlier forwards.
   * @default false
   */
  keepPermits?: boolean;
  /** An earlier one with `keepPermits`. This one is the same line, and permits only what these arguments say. */
  settles?: AuthorizedKey;
}

/**
 * One line in an account's authorized_keys. Everything else in the file stays byte for byte, also where its last line
 * has no newline.
 */
export class AuthorizedKey extends RemoteComponent {
  /** By what the line is known on the host. */
  private readonly line: string;
  /** Another text whenever there is something to settle. */
  private readonly kept: pulumi.Output<string>;

  constructor(name: string, args: AuthorizedKeyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("AuthorizedKey", name, opts);
    this.line = args.settles?.line ?? name;
    const marker = `ssh-reverse-tunnel:${ownerId()}/${encodeURIComponent(this.line)}`;
    this.kept = this.run(`${name}-script`, {
      host: args.host,
      what: pulumi.interpolate`the key in authorized_keys of ${args.account}`,
      parts: [
        {
          script: "authorizedKey",
          values: {
            ACCOUNT: checkedInput("account", args.account),
            LINE: pulumi
              .all([args.options, args.publicKey])
              .apply(([options, publicKey]) => renderAuthorizedKeyLine(options, publicKey, marker)),
            MARKER: marker,
            FILE: args.file === undefined ? "" : checkedInput("path", args.file),
            KEEP: args.keepPermits ? "yes" : "no",
            ...(args.settles ? { KEPT: args.settles.kept } : {}),
          },
        },
      ],
      record: `${this.line}-script`,
      removes: args.settles === undefined,
    }).stdout;
    this.registerOutputs({});
  }
}
