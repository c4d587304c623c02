import * as pulumi from "@pulumi/pulumi";
import type { Part } from "../../remote/remoteScript.ts";
import { assertValidInput } from "../../settings/assertValidInput.ts";
import { assertValid } from "../../render/checks.ts";

/** Arguments of {@link tunnelCheck}. */
export interface TunnelCheckArgs {
  /** The account that the tunnel logs in as. */
  account: string;
  /** The forwards, as rendered by {@link forwardWord}. */
  forwards: pulumi.Input<string>[];
  /** How many seconds the tunnel has to come up. @default 30 */
  timeoutSec?: pulumi.Input<number>;
  /** Where to look after a failure, in words. */
  lookAt: pulumi.Input<string>;
  /** The check runs again whenever this changes. */
  fingerprint: pulumi.Input<string>;
}

/**
 * Succeeds only if each forward works: the internal host's SSH banner has come back through it or, for another
 * protocol, its listener accepts connections. A target that does not answer after such a listener is a warning. If
 * nothing listens, it prints what sshd has said about the account.
 *
 * Only {@link loginCheck} may come after it: others may change the host while it waits.
 */
export function tunnelCheck(args: TunnelCheckArgs): Part {
  return {
    script: "tunnelCheck",
    values: {
      ACCOUNT: assertValidInput("account", args.account),
      FORWARDS: pulumi
        .all(args.forwards)
        .apply((all) => all.map((each) => assertValid("unitWord", each)).join(" ")),
      SECONDS_TO_WAIT: pulumi
        .output(args.timeoutSec ?? 30)
        .apply((seconds) => String(assertValid("number", seconds))),
      LOOK_AT: args.lookAt,
      FINGERPRINT: args.fingerprint,
    },
  };
}
