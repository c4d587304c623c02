import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { describe, it } from "vitest";

/** Whether a matrix is tried as a whole: `make test-all` says so. */
export const everything = process.env["EVERYTHING"] === "yes";

/** What chooses the sample otherwise; `make test` has one for each commit. */
export const sample = Number(process.env["SAMPLE"] || 1);

/** For a test's title, so that whoever reads of a failure can have the same sample again. */
export const chosen = everything ? "EVERYTHING=yes" : `SAMPLE=${sample}`;

/** What is chosen elsewhere at the same time changes nothing here. */
const chanceOf = (what: string) =>
  xoroshiro128plus(createHash("sha256").update(`${sample} ${what}`).digest().readInt32BE());

/**
 * One of so many of these, by chance, in their order, and one at least; all of them where everything is tried. `of` names
 * them.
 *
 * @example
 * oneIn(5, cuts, "apply of gate-key"); // 20 of 100
 */
export function oneIn<T>(number: number, all: readonly T[], of: string): T[] {
  const random = chanceOf(of);
  const wanted = everything ? all.length : Math.max(1, Math.round(all.length / number));
  const left = all.map((_, index) => index);
  while (left.length > wanted) left.splice(uniformInt(random, 0, left.length - 1), 1);
  return left.map((index) => all[index]!);
}

/** A test that is `sometimes` there is in one sample of so many. */
const SELDOM = 20;
const isInSample = (title: string) => everything || uniformInt(chanceOf(title), 1, SELDOM) === 1;

/**
 * A test, or a group of them, on which no promise of docs/safety.md rests alone, and no other test: in one sample of twenty.
 * test/safety.test.ts sees to the promises.
 */
export const sometimes = {
  it: (title: string, test: () => unknown) => (isInSample(title) ? it : it.skip)(title, test),
  describe: (title: string, tests: () => void) =>
    (isInSample(title) ? describe : describe.skip)(title, tests),
};
