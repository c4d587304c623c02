import { Program } from "../remote/scriptText.ts";
import { assertValid } from "../render/checks.ts";

/** A check of a tunnel, whose findings are shown beside it. */
export interface StatusArgs {
  /** The tunnel. */
  tunnel: string;
  /** The folder below /run where the check keeps them. */
  runtimeDirectory: string;
  /** A folder in which a node_exporter looks for text files. @default none */
  textfileDirectory?: string | undefined;
}

/** What shell/lib/status.sh needs to install ssh-tunnel-status, and the link to the check's metrics. */
export function statusValues({ tunnel, runtimeDirectory, textfileDirectory }: StatusArgs) {
  return {
    STATUS_PROGRAM: new Program("status"),
    METRICS: assertValid("path", `/run/${runtimeDirectory}/ssh-tunnel-${assertValid("tunnel", tunnel)}.prom`),
    METRICS_FOLDER: textfileDirectory === undefined ? "" : assertValid("folder", textfileDirectory),
  };
}
