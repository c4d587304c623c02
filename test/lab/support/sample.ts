import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, it } from "vitest";

/** Whether all cases run, as in `make test-all`. */
export const everything = process.env["EVERYTHING"] === "yes";

/** What selects the sample otherwise; `make test` has one for each commit. */
export const sample = Number(process.env["SAMPLE"] || 1);

/** For a test's title, so that a reader of a failure can run the same sample again. */
export const chosen = everything ? "EVERYTHING=yes" : `SAMPLE=${sample}`;

/** Other samples in the same run do not affect this one. */
const chanceOf = (what: string) =>
  xoroshiro128plus(createHash("sha256").update(`${sample} ${what}`).digest().readInt32BE());

/**
 * A random sample of the items, one in `number`, in order, and at least one; all of them if everything is tried. `of`
 * names them.
 *
 * @example oneIn(5, cuts, "apply of gate-key"); // 20 of 100
 */
export function oneIn<T>(number: number, all: readonly T[], of: string): T[] {
  const random = chanceOf(of);
  const wanted = everything ? all.length : Math.max(1, Math.round(all.length / number));
  const left = all.map((_, index) => index);
  while (left.length > wanted) left.splice(uniformInt(random, 0, left.length - 1), 1);
  return left.map((index) => all[index]!);
}

/** A `sometimes` test is in one of this many samples, and SAMPLE=1 to SAMPLE=3 have all of them. */
const SELDOM = 3;
const isInSample = (title: string) =>
  everything || createHash("sha256").update(title).digest().readUInt32BE() % SELDOM === sample % SELDOM;

/**
 * A test, or a group of tests, that is in one of three samples. It is never the only proof of a promise in docs/safety.md,
 * and no other test depends on it. test/safety.test.ts checks the promises.
 */
export const sometimes = {
  it: (title: string, test: () => unknown) => (isInSample(title) ? it : it.skip)(title, test),
  describe: (title: string, tests: () => void) =>
    (isInSample(title) ? describe : describe.skip)(title, tests),
};
