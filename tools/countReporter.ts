import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { Reporter, SerializedError, TestModule } from "vitest/node";

/** Ends a run with a line for each failed test, and the line "N passed, N failed", which other programs read. */
export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: string) => tests.filter((test) => test.result().state === state).length;
    // A file that could not be loaded, a hook that failed and an error outside of any test have no test to count.
    const suites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
    const broken = suites.filter((suite) => suite.errors().length > 0).length + errors.length;
    const skipped = count("skipped") + count("pending");
    // Where only the end of a log is kept, it says what failed.
    const failures = [...suites, ...tests].flatMap((task) => {
      const found = "result" in task ? (task.result().errors ?? []) : task.errors();
      const name = "fullName" in task ? ` > ${task.fullName}` : "";
      const { moduleId } = task.type === "module" ? task : task.module;
      return found.map(({ message }) => `FAILED ${relative(".", moduleId)}${name}: ${shortened(message)}`);
    });
    for (const { message } of errors) failures.push(`FAILED outside of any test: ${shortened(message)}`);
    for (const line of failures) console.log(line);
    console.log(
      `${count("passed")} passed, ${count("failed") + broken} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`,
    );
  }
}

const shortened = (message: string) =>
  stripVTControlCharacters(message).replaceAll(/\s+/g, " ").slice(0, 300);
