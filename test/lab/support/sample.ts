import { createHash } from "node:crypto";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Whether a matrix is tried as a whole: `make test-all` says so. */
export const everything = process.env["EVERYTHING"] === "yes";

/** What chooses the sample otherwise; `make test` has one for each commit. */
export const sample = Number(process.env["SAMPLE"] || 1);

/** For a test's title, so that whoever reads of a failure can have the same sample again. */
export const chosen = everything ? "EVERYTHING=yes" : `SAMPLE=${sample}`;

/**
 * One of so many of these, by chance, in their order, and two at least; all of them where everything is tried. `of` names
 * them: what is chosen elsewhere at the same time changes nothing here.
 *
 * @example
 * oneIn(5, cuts, "apply of gate-key"); // 20 of 100
 */
export function oneIn<T>(number: number, all: readonly T[], of: string): T[] {
  const random = xoroshiro128plus(createHash("sha256").update(`${sample} ${of}`).digest().readInt32BE());
  const wanted = everything ? all.length : Math.max(2, Math.round(all.length / number));
  const left = all.map((_, index) => index);
  while (left.length > wanted) left.splice(uniformInt(random, 0, left.length - 1), 1);
  return left.map((index) => all[index]!);
}
