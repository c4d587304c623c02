import type * as pulumi from "@pulumi/pulumi";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import type { Part } from "../../remote/remoteScript.ts";

/** Arguments of {@link account}. */
export interface AccountArgs {
  /** Its name, at most 32 characters (useradd(8)). @example "tunnel-nas" */
  account: pulumi.Input<string>;
  /** Its only group, created if it does not exist, and removed with the last account that we created in it. */
  group: pulumi.Input<string>;
  /** Its home, which must not exist yet; `/` for none. */
  home: pulumi.Input<string>;
  /** Its login shell. */
  shell: pulumi.Input<string>;
}

/**
 * A system account for a tunnel, without a password. An existing account of that name that is not ours is refused and
 * left alone.
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

/** The account that a tunnel has to itself, on both hosts. */
export function tunnelAccount(tunnel: string): string {
  return `tunnel-${tunnel}`;
}
