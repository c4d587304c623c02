import { Program } from "./remoteScript.ts";
import { checked } from "./render/checks.ts";

/** A check of a tunnel, whose findings are shown beside it. */
export interface StatusArgs {
  /** The tunnel. */
  tunnel: string;
  /** Which of its two checks: the watchdog on the internal host, or the health check on the public host. */
  check: "watchdog" | "health";
  /** A folder in which a node_exporter looks for text files. @default none */
  textfileDirectory?: string | undefined;
}

/** What scripts/status.sh needs to install ssh-tunnel-status, and the link to the check's metrics. */
export function statusValues({ tunnel, check, textfileDirectory }: StatusArgs) {
  return {
    STATUS_PROGRAM: new Program("status"),
    METRICS: `/run/ssh-tunnel-${checked("tunnel", tunnel)}-${check}/ssh-tunnel-${tunnel}.prom`,
    METRICS_FOLDER: textfileDirectory === undefined ? "" : checked("folder", textfileDirectory),
  };
}
