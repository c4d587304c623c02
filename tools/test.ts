// `make test` and `make test-all`: runs the tests, and each lab file that fails once more, alone. Such a file boots hosts, and
// a machine that is busy with other work can make it fail. If it passes then, it is called flaky, with both results; one
// flaky file is let pass, two are not.
//   tsx tools/test.ts PROJECT[,PROJECT…] [FILE…]
import { spawnSync } from "node:child_process";
import { relative } from "node:path";
import type { SerializedError, TestModule, TestSpecification } from "vitest/node";
import { createVitest } from "vitest/node";
import { lastLine, tallyOf } from "./tally.ts";

/** So many files do not fail by chance: nothing is run again. */
const MOST_FAILED = 3;
/** So many flaky files fail the run. */
const TOO_FLAKY = 2;

/** The sample of a matrix is the commit's: the same on every machine. See test/lab/support/sample.ts. */
function sampleOfCommit(): string {
  const { stdout } = spawnSync("git", ["rev-parse", "--short=6", "HEAD"], { encoding: "utf8" });
  return String(parseInt(stdout.trim(), 16) || 1);
}

process.env["SAMPLE"] ||= sampleOfCommit();
console.log(process.env["EVERYTHING"] === "yes" ? "all cases" : `SAMPLE=${process.env["SAMPLE"]}`);
const [projects = "", ...files] = process.argv.slice(2);
const vitest = await createVitest("test", {
  watch: false,
  project: projects.split(","),
  reporters: ["default"],
});
await vitest.standalone();
const specifications = await vitest.globTestSpecifications(files);
if (specifications.length === 0) throw new Error(`there is no test file ${files.join(" ")} in ${projects}`);
const first = await vitest.runTestSpecifications(specifications, true);

const results = new Map<string, TestModule>(first.testModules.map((module) => [module.id, module]));
const failed = first.testModules.filter((module) => tallyOf([module]).failed > 0);
const fromLab = failed.filter((module) => module.project.name === "lab");
const flaky: string[] = [];
const errors = [...first.unhandledErrors] as SerializedError[];
if (failed.length <= MOST_FAILED) {
  for (const module of fromLab) {
    const before = tallyOf([module]);
    console.log(`\n${relative(".", module.moduleId)} failed, and runs once more, alone`);
    const again = await vitest.runTestSpecifications([specificationOf(module)]);
    const second = again.testModules.find(({ id }) => id === module.id);
    if (second === undefined) throw new Error(`${module.moduleId} did not run again`);
    results.set(second.id, second);
    errors.push(...(again.unhandledErrors as SerializedError[]));
    if (!passed(second)) continue;
    for (const line of before.failures) flaky.push(`FLAKY ${line}; alone, it passed`);
  }
}

const tally = tallyOf([...results.values()], errors);
const flakyFiles = fromLab.filter(({ id }) => passed(results.get(id)!)).length;
for (const line of [...tally.failures.map((failure) => `FAILED ${failure}`), ...flaky]) console.log(line);
if (flakyFiles >= TOO_FLAKY) {
  console.log(`FAILED ${flakyFiles} files are flaky, and one is the most that may be`);
  tally.failed += flakyFiles;
}
console.log(lastLine(tally));
const status = tally.failed > 0 || tally.passed === 0 ? 1 : 0;
setTimeout(() => process.exit(status), 30_000).unref(); // whatever is not torn down by then
await vitest.close();
process.exit(status);

function passed(module: TestModule): boolean {
  return module.state() === "passed" && tallyOf([module]).failed === 0;
}

function specificationOf(module: TestModule): TestSpecification {
  const found = specifications.find(
    ({ moduleId, project }) => moduleId === module.moduleId && project.name === module.project.name,
  );
  if (found === undefined) throw new Error(`${module.moduleId} is none of the files that ran`);
  return found;
}
