import { Program } from "../remote/scriptText.ts";
import { assertValid } from "../render/checks.ts";

/** A check of a tunnel, whose results ssh-tunnel-status shows. */
export interface StatusArgs {
  /** The tunnel. */
  tunnel: string;
  /** The folder below /run where the check stores them. */
  runtimeDirectory: string;
  /** The folder that node_exporter reads text files from. @default none */
  textfileDirectory?: string | undefined;
}

/** The values with which shell/lib/status.sh installs ssh-tunnel-status, and the link to the check's metrics. */
export function statusValues({ tunnel, runtimeDirectory, textfileDirectory }: StatusArgs) {
  return {
    STATUS_PROGRAM: new Program("status"),
    METRICS: assertValid("path", `/run/${runtimeDirectory}/ssh-tunnel-${assertValid("tunnel", tunnel)}.prom`),
    METRICS_FOLDER: textfileDirectory === undefined ? "" : assertValid("folder", textfileDirectory),
  };
}
