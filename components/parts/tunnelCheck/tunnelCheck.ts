import * as pulumi from "@pulumi/pulumi";
import type { Part } from "../../remote/remoteScript.ts";
import { assertValid } from "../../render/checks.ts";

/** Arguments of {@link tunnelCheck}. */
export interface TunnelCheckArgs {
  /** The forwards, as {@link forwardWord} has them. */
  forwards: pulumi.Input<string>[];
  /** Seconds that the tunnel has to come up. @default 30 */
  timeoutSec?: pulumi.Input<number>;
  /** What to look at where it fails, in words. */
  lookAt: pulumi.Input<string>;
  /** The check runs again whenever this is another text. */
  fingerprint: pulumi.Input<string>;
}

/**
 * Succeeds only when each forward works: the internal host's SSH banner has come back through it, or, for another
 * protocol, its listener accepts. A target that does not answer behind such a listener is a warning.
 *
 * It must be the last part of its script: others may change the host while it waits.
 */
export function tunnelCheck(args: TunnelCheckArgs): Part {
  return {
    script: "tunnelCheck",
    values: {
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
