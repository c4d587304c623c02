import { readFileSync } from "node:fs";

/**
 * How many seconds each file takes that boots hosts, as one of three at a time on two cores, with a sample. Measured:
 * `make durations`. What is not in it is taken for long. By it the longest begin first, and slices are cut.
 */
export const FILE = "tools/durations.json";
const durations = JSON.parse(readFileSync(FILE, "utf8")) as Record<string, number>;

export const secondsOf = (file: string): number => durations[file] ?? 600;

/** Seconds of one slice, on one worker: five minutes or so of three. */
const SLICE = 900;

/** Cuts files into slices of about equal time. Each is in one of them, whatever it is called and however long it takes. */
export function slicesOf(files: readonly string[]): string[][] {
  const sorted = [...files].sort((a, b) => secondsOf(b) - secondsOf(a) || (a < b ? -1 : 1));
  const slices: string[][] = Array.from({ length: Math.ceil(sumOf(sorted) / SLICE) }, () => []);
  for (const file of sorted)
    slices.reduce((least, each) => (sumOf(each) < sumOf(least) ? each : least)).push(file);
  return slices;
}

const sumOf = (files: readonly string[]) => files.reduce((sum, file) => sum + secondsOf(file), 0);
