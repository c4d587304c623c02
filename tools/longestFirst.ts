import { relative } from "node:path";
import type { TestSpecification } from "vitest/node";
import { BaseSequencer } from "vitest/node";
import { secondsOf } from "./slices.ts";

/** A few files run at a time: a long one that starts last would run alone for minutes. vitest sorts by file size. */
export default class LongestFirst extends BaseSequencer {
  public override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const seconds = ({ project, moduleId }: TestSpecification) =>
      project.name === "unit" ? 0 : secondsOf(relative(".", moduleId));
    return (await super.sort(files)).toSorted((a, b) => seconds(b) - seconds(a));
  }
}
