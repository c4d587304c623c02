import * as pulumi from "@pulumi/pulumi";
import type { Forward } from "./forward.ts";
import { checkAddress, checkForward, hostPort } from "./forward.ts";
import type { Part } from "./remoteScript.ts";
import { checked } from "./render/checks.ts";

/** Arguments of {@link tunnelCheck}. */
export interface TunnelCheckArgs {
  /** The forwards, each with the port that it has. */
  forwards: { forward: Forward; port: pulumi.Input<number> }[];
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
  const lines = args.forwards.map(
    ({ forward, port }) =>
      pulumi.interpolate`${checkForward(forward).name} ${checkAddress(forward)} ${pulumi.output(port).apply((number) => checked("number", number))} ${forward.protocol} ${hostPort(forward.targetHost, forward.targetPort)}`,
  );
  return {
    script: "tunnelCheck",
    values: {
      FORWARDS: pulumi.all(lines).apply((all) => all.join("\n")),
      SECONDS_TO_WAIT: pulumi
        .output(args.timeoutSec ?? 30)
        .apply((seconds) => String(checked("number", seconds))),
      LOOK_AT: args.lookAt,
      FINGERPRINT: args.fingerprint,
    },
  };
}
