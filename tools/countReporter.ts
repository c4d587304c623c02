import type { Reporter, SerializedError, TestModule } from "vitest/node";
import { lastLine, tallyOf } from "./tally.ts";

/** Ends a run of vitest with a line for each failed test, and the count. Where only the end of a log is kept, it says what failed. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const tally = tallyOf(modules, errors);
    for (const line of tally.failures) console.log(`FAILED ${line}`);
    console.log(lastLine(tally));
  }
}
