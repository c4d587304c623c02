import { readFileSync } from "node:fs";

/**
 * How many seconds each file that boots hosts takes, as one of three at a time on two cores, with a sample. Measured by
 * `make durations`. A file that is not listed counts as long. The longest files start first, and the slices are cut by
 * it.
 */
export const FILE = "tools/durations.json";
const durations = JSON.parse(readFileSync(FILE, "utf8")) as Record<string, number>;

export const secondsOf = (file: string): number => durations[file] ?? 600;

/** Seconds of one slice on one worker: about five minutes with three workers. */
const SLICE = 900;

/** Cuts files into slices of about equal time. Each file is in exactly one of them, whatever its name and duration. */
export function slicesOf(files: readonly string[]): string[][] {
  const sorted = [...files].sort((a, b) => secondsOf(b) - secondsOf(a) || (a < b ? -1 : 1));
  const slices: string[][] = Array.from({ length: Math.ceil(sumOf(sorted) / SLICE) }, () => []);
  for (const file of sorted)
    slices.reduce((least, each) => (sumOf(each) < sumOf(least) ? each : least)).push(file);
  return slices;
}

const sumOf = (files: readonly string[]) => files.reduce((sum, file) => sum + secondsOf(file), 0);
