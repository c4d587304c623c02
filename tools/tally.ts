import { relative } from "node:path";
import { stripVTControlCharacters } from "node:util";
import type { SerializedError, TestCase, TestModule, TestSuite } from "vitest/node";

/** The result of a test run. */
export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
  /** A line for each test, file or hook that failed. */
  failures: string[];
}

type Task = TestModule | TestSuite | TestCase;

/**
 * Counts the tests of files. A file that could not be loaded and a failed hook have no tests, and count as one each.
 */
export function tallyOf(modules: readonly TestModule[], errors: readonly SerializedError[] = []): Tally {
  const tests = modules.flatMap((module) => [...module.children.allTests()]);
  const suites = modules.flatMap((module) => [module, ...module.children.allSuites()]);
  const broken = suites.filter((suite) => suite.errors().length > 0).length + errors.length;
  const count = (state: string) => tests.filter((test) => test.result().state === state).length;
  return {
    passed: count("passed"),
    failed: count("failed") + broken,
    skipped: count("skipped") + count("pending"),
    failures: [
      ...[...suites, ...tests].flatMap(linesOf),
      ...errors.map(({ message }) => `outside of any test: ${shortened(message)}`),
    ],
  };
}

/** "test/lab/x.test.ts > the title: the message", for each of its errors. */
function linesOf(task: Task): string[] {
  const errors = task.type === "test" ? (task.result().errors ?? []) : task.errors();
  const name = task.type === "module" ? "" : ` > ${task.fullName}`;
  const { moduleId } = task.type === "module" ? task : task.module;
  return errors.map(({ message }) => `${relative(".", moduleId)}${name}: ${shortened(message)}`);
}

const shortened = (message: string) =>
  stripVTControlCharacters(message).replaceAll(/\s+/g, " ").slice(0, 1000);

/** The line "N passed, N failed", which other programs parse. */
export const lastLine = ({ passed, failed, skipped }: Omit<Tally, "failures">): string =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
