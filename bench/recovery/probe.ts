import { setMaxListeners } from "node:events";
import { ask } from "../client.ts";

/** The delay of the next attempt after a refusal. */
const PAUSE_MS = 50;
/** The delay of the next attempt next to one that hangs. */
const HANGING_MS = 250;
/** A client that keeps trying: an attempt every 2 s, given up when the next is due. */
const RETRY_MS = 2000;

/** Where a tool listens. */
export interface Target {
  host: string;
  port: number;
}

/**
 * Seconds from a moment, by default now, until an answer comes through the port, or through one of several; undefined if
 * none comes within the limit.
 *
 * A port that refuses is tried every 50 ms. An attempt that hangs is kept, since its answer may come as soon as packets
 * pass again, and others are started next to it. Loads the CPU by about 0.1 ms for each attempt.
 */
export async function secondsToAnswer(
  targets: Target[],
  limitSeconds: number,
  since = performance.now(),
): Promise<number | undefined> {
  const deadline = AbortSignal.timeout(limitSeconds * 1000);
  const over = new AbortController();
  setMaxListeners(0, over.signal);
  deadline.addEventListener("abort", () => over.abort());
  let answered: number | undefined;
  while (!over.signal.aborted) {
    const attempts = targets.map(({ host, port }) => ask(host, port, over.signal));
    const attempt = Promise.any(attempts).then(
      () => {
        answered ??= performance.now();
        over.abort();
      },
      () => undefined,
    );
    const pause = sleep(PAUSE_MS, over.signal);
    const hanging = sleep(HANGING_MS, over.signal);
    await Promise.race([attempt.then(() => pause), hanging]);
  }
  return answered === undefined ? undefined : (answered - since) / 1000;
}

/** A client of every target that tries each of them every 2 s until it is stopped. */
export function keepTrying(targets: Target[]): { stop: () => void } {
  const timers = targets.map(({ host, port }, index) => {
    const attempt = () => void ask(host, port, AbortSignal.timeout(RETRY_MS)).catch(() => undefined);
    // Not all at the same moment.
    const first = setTimeout(attempt, (index * RETRY_MS) / targets.length);
    const timer = setInterval(attempt, RETRY_MS);
    return { first, timer };
  });
  return {
    stop: () => {
      for (const { first, timer } of timers) {
        clearTimeout(first);
        clearInterval(timer);
      }
    },
  };
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done, { once: true });
  });
}
