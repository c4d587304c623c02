/** One short connection through a forward: opened, one checked request, closed. Times are in seconds. */
export interface Try {
  started: number;
  ended: number;
  /** The error; undefined if there was none. */
  error?: string;
}

/**
 * Seconds from a fault's end until a forward works permanently: until the end of the first attempt that began after the
 * last failed one. 0 if none failed any more, undefined if it has not come back.
 */
export function downTime(tries: Try[], faultEnd: number): number | undefined {
  const lastFailure = Math.max(
    -Infinity,
    ...tries.filter((t) => t.error !== undefined).map((t) => t.started),
  );
  if (lastFailure === -Infinity) return 0;
  const after = tries.filter((t) => t.started > lastFailure).map((t) => t.ended);
  return after.length === 0 ? undefined : Math.max(0, Math.min(...after) - faultEnd);
}

/** The result of one fault: for each forward that it affected, the seconds that it was down; undefined: permanently. */
export interface Outcome {
  says: string;
  backWithin: number;
  down: (number | undefined)[];
}

/**
 * The table at the end of a soak: each kind of fault, how often it occurred, median and worst down time after its end.
 */
export function summary(outcomes: Outcome[]): string[] {
  const kinds = [...new Set(outcomes.map(({ says }) => says))].sort();
  const rows = kinds.map((says) => {
    const those = outcomes.filter((outcome) => outcome.says === says);
    const down = those.flatMap((outcome) => outcome.down.map((seconds) => seconds ?? Infinity));
    const bound = Math.max(...those.map(({ backWithin }) => backWithin));
    const [middle, worst] = down.length > 0 ? [median(down), Math.max(...down)].map(inSeconds) : ["–", "–"];
    return [says, String(those.length), middle!, worst!, `${bound} s`];
  });
  const table = [["fault", "count", "median", "worst", "bound"], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}

/** "1.5 s"; "for good". */
export const inSeconds = (seconds: number | undefined): string =>
  seconds === undefined || seconds === Infinity ? "for good" : `${seconds.toFixed(1)} s`;

/** The middle value; for an even number, the upper of the two. */
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
