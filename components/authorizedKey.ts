import * as pulumi from "@pulumi/pulumi";
import type { Host } from "./host.ts";
import { RemoteComponent } from "./remoteComponent.ts";
import type { RemoteScriptArgs } from "./remoteScript.ts";
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
  /**
   * Whether the line keeps what it permitted before (`permitlisten`, `permitopen`) until {@link AuthorizedKey.settle}: for
   * a login that runs and may have to go back to its earlier forwards.
   * @default false
   */
  keepPermits?: boolean;
}

/**
 * One line in an account's authorized_keys. Everything else in the file stays byte for byte, also where its last line
 * has no newline.
 */
export class AuthorizedKey extends RemoteComponent {
  private readonly settled: { name: string; script: RemoteScriptArgs };

  constructor(name: string, args: AuthorizedKeyArgs, opts?: pulumi.ComponentResourceOptions) {
    super("AuthorizedKey", name, opts);
    const marker = `ssh-reverse-tunnel:${ownerId()}/${encodeURIComponent(name)}`;
    const line = pulumi
      .all([args.options, args.publicKey])
      .apply(([options, publicKey]) => renderAuthorizedKeyLine(options, publicKey, marker));
    const values = { ACCOUNT: args.account, LINE: line, MARKER: marker, FILE: args.file ?? "" };
    const script = {
      host: args.host,
      script: "authorizedKey",
      what: pulumi.interpolate`the key in authorized_keys of ${args.account}`,
    };
    const record = `${name}-script`;
    this.run(record, { ...script, values: { ...values, KEEP: args.keepPermits ? "yes" : "no" } });
    this.settled = { name, script: { ...script, values: { ...values, KEEP: "no" }, record, removes: false } };
    this.registerOutputs({});
  }

  /** Takes away, after these, what the line permitted before and is no longer asked for. */
  public settle(after: pulumi.Resource[]): void {
    this.run(`${this.settled.name}-settle`, this.settled.script, after);
  }
}
