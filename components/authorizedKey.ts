import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import { ownerId } from "./remoteScript.ts";
import { renderAuthorizedKeyLine } from "./render/authorizedKeyLine.ts";

/** Arguments of {@link AuthorizedKey}. */
export interface AuthorizedKeyArgs {
  /** The host that is logged in to. */
  host: Host;
  /** The account that is logged in to. */
  account: pulumi.Input<string>;
  /** The public key that may. */
  publicKey: pulumi.Input<string>;
  /** Options of the line, for example `restrict`; sshd(8), AUTHORIZED_KEYS FILE FORMAT. */
  options: pulumi.Input<string[]>;
  /**
   * The authorized_keys file, where root keeps it itself.
   * @default the first that sshd reads for the account (`sshd -T`, AuthorizedKeysFile)
   */
  file?: pulumi.Input<string>;
}

/**
 * One line in an account's authorized_keys. Everything else in the file stays byte for byte, also where its last line
 * has no newline.
 */
export class AuthorizedKey extends RemoteComponent {
  constructor(name: string, args: AuthorizedKeyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("AuthorizedKey", name, opts);
    const marker = `ssh-reverse-tunnel:${ownerId()}/${encodeURIComponent(name)}`;
    const line = pulumi
      .all([args.options, args.publicKey])
      .apply(([options, publicKey]) => renderAuthorizedKeyLine(options, publicKey, marker));
    this.run(`${name}-script`, {
      host: args.host,
      script: "authorizedKey",
      what: pulumi.interpolate`the key in authorized_keys of ${args.account}`,
      values: { ACCOUNT: args.account, LINE: line, MARKER: marker, FILE: args.file ?? "" },
    });
    this.registerOutputs({});
  }
}
