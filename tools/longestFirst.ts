import type { TestSpecification } from "vitest/node";
import { BaseSequencer } from "vitest/node";

/** Of the files that boot hosts, those that take minutes, the longest first. */
const LONG = ["crash", "cleanUp", "soak", "throughTunnel", "distributions", "firewall"];

/** A few files run at a time: a long one that begins last would run for minutes alone. vitest goes by their size. */
export default class LongestFirst extends BaseSequencer {
  public override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const index = LONG.findIndex((name) => moduleId.endsWith(`/test/lab/${name}.test.ts`));
      return index < 0 ? LONG.length : index;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}
