import type * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Part } from "../../remote/remoteScript.ts";

/** Arguments of {@link account}. */
export interface AccountArgs {
  /** Its name, at most 32 characters (useradd(8)). @example "tunnel-nas" */
  account: pulumi.Input<string>;
  /** Its only group; made where it is not there, and removed with the last account that we made in it. */
  group: pulumi.Input<string>;
  /** Its home, which must not be there yet; `/` for none. */
  home: pulumi.Input<string>;
  /** Its login shell. */
  shell: pulumi.Input<string>;
}

/**
 * A system account of a tunnel, without a password. An account of that name that is not ours is refused, never touched.
 */
export function account(args: AccountArgs): Part {
  return {
    script: "account",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      GROUP: assertValidInput("account", args.group),
      HOME_DIR: assertValidInput("path", args.home),
      LOGIN_SHELL: assertValidInput("path", args.shell),
    },
  };
}

/** The account that a tunnel has to itself, on both sides. */
export function tunnelAccount(tunnel: string): string {
  return `tunnel-${tunnel}`;
}
