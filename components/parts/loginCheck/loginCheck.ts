import * as pulumi from "@pulumi/pulumi";
import type { Part } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";

/** Arguments of {@link loginCheck}. */
export interface LoginCheckArgs {
  /** The logins back: the account that may type `ssh <alias>`, and the name of the forward that it goes through. */
  logins: { from: string; alias: string; forward: string }[];
  /** The name of the internal host. */
  inside: string;
  /** How many seconds a login is tried again that was not refused. @default 30 */
  timeoutSec?: pulumi.Input<number>;
}

/**
 * Succeeds only if each login back works, as the account that types it. Nothing is run on the internal host. A login that
 * wants more than the key is a warning.
 *
 * It runs after what is stale has been swept, since an account can break its own login.
 */
export function loginCheck(args: LoginCheckArgs): Part {
  const words = args.logins.map(({ from, alias, forward }) => [
    assertValid("account", from),
    assertValid("file", alias),
    assertValid("unitWord", forward),
  ]);
  return {
    script: "loginCheck",
    values: {
      LOGINS: words.map((each) => each.join(",")).join(" "),
      INSIDE: assertValid("host", args.inside),
      PATIENCE: pulumi
        .output(args.timeoutSec ?? 30)
        .apply((seconds) => String(assertValid("number", seconds))),
    },
  };
}
