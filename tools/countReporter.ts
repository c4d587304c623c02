import type { Reporter, SerializedError, TestModule } from "vitest/node";
import { lastLine, tallyOf } from "./tally.ts";

/**
 * Prints a line for each failed test, and the count, at the end of a vitest run. If only the end of a log is kept, it
 * shows what failed.
 */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const tally = tallyOf(modules, errors);
    for (const line of tally.failures) console.log(`FAILED ${line}`);
    console.log(lastLine(tally));
  }
}
