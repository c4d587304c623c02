/** A line of progress for the user. */
export type Log = (line: string) => void;

const PROBE_MILLISECONDS = 5_000;

let probe: Promise<string | undefined> | undefined;

/**
 * Why Pulumi's download site cannot be reached, or undefined if it can. Checked once per process: otherwise each
 * download would wait for its own, much longer, time limit.
 */
export function whyNoDownloads(): Promise<string | undefined> {
  probe ??= tryDownloadSite();
  return probe;
}

async function tryDownloadSite(): Promise<string | undefined> {
  try {
    const response = await fetch("https://get.pulumi.com/install.sh", {
      method: "HEAD",
      signal: AbortSignal.timeout(PROBE_MILLISECONDS),
    });
    return response.ok ? undefined : `get.pulumi.com answered ${response.status}`;
  } catch (error) {
    return `get.pulumi.com cannot be reached (${rootCause(error)})`;
  }
}

/** The innermost message of an error: fetch hides "getaddrinfo ENOTFOUND …" behind "fetch failed". */
export function rootCause(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : rootCause(error.cause);
}
