/** One short connection through a forward: opened, one checked request, closed. Times are in seconds. */
export interface Try {
  started: number;
  ended: number;
  /** What went wrong; undefined: nothing. */
  error?: string;
}

/**
 * Seconds from a fault's end until a forward works, and does so from then on: until the end of the first try that was
 * begun after the last one that failed. 0 where none failed any more, undefined where it has not come back.
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

/** What came of one fault: of each forward that it disturbed the seconds that it was down, undefined: for good. */
export interface Outcome {
  says: string;
  backWithin: number;
  down: (number | undefined)[];
}

/** The table at the end of a soak: each kind of fault, how often it was, median and worst down time after its end. */
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

/** The middle one, of an even number the upper one of the two. */
const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
