import type { Part } from "../../remote/remoteScript.ts";
import { statusValues } from "../statusValues.ts";

/** Stops a tunnel that is disabled. What `tunnelService` has put on the internal host stays there. */
export function tunnelStop({ tunnel }: { tunnel: string }): Part {
  const service = `ssh-tunnel-${tunnel}`;
  const { METRICS } = statusValues({ tunnel, runtimeDirectory: `${service}-watchdog` });
  return { script: "tunnelStop", values: { SERVICE: service, METRICS } };
}
