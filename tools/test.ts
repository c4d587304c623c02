// `make test`, `make test-slice` and `make test-all`: runs the tests, and runs each file of test/lab and test/matrix that
// fails once more, alone. Such a file boots hosts, and can fail because the machine is busy with other work. If it then
// passes, it is reported as flaky, with both results. One flaky file is tolerated, two are not.
//   tsx tools/test.ts PROJECT[,PROJECT…] [FILE…]
// SAMPLE=7 takes a different sample of what has many cases; SLICE=2 also runs that slice of test/matrix, SLICE=commit the
// commit's; DURATIONS=keep writes to tools/durations.json how long each file took.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { relative } from "node:path";
import type { SerializedError, TestModule, TestSpecification } from "vitest/node";
import { createVitest } from "vitest/node";
import { FILE, slicesOf } from "./slices.ts";
import { lastLine, tallyOf } from "./tally.ts";

/** So many files do not fail by chance: nothing is run again. */
const MOST_FAILED = 3;
/** This many flaky files fail the run. */
const TOO_FLAKY = 2;
/** The projects whose files boot hosts on this machine's kernel, a few at a time. */
const ON_HOSTS = ["lab", "matrix"];

/** The sample of a matrix depends on the commit: it is the same on every machine. See test/lab/support/sample.ts. */
function sampleOfCommit(): string {
  const { stdout } = spawnSync("git", ["rev-parse", "--short=6", "HEAD"], { encoding: "utf8" });
  return String(parseInt(stdout.trim(), 16) || 1);
}

process.env["SAMPLE"] ||= sampleOfCommit();
console.log(process.env["EVERYTHING"] === "yes" ? "all cases" : `SAMPLE=${process.env["SAMPLE"]}`);
const [projects = "", ...files] = process.argv.slice(2);
const slice = process.env["SLICE"];
const vitest = await createVitest("test", {
  watch: false,
  project: [...projects.split(","), ...(slice ? ["matrix"] : [])].filter(Boolean),
  reporters: ["default"],
});
await vitest.standalone();
const all = await vitest.globTestSpecifications(files);
const specifications = slice ? withSlice(slice, all) : all;
if (specifications.length === 0) throw new Error(`there is no test file ${files.join(" ")} in ${projects}`);
const first = await vitest.runTestSpecifications(specifications, true);

if (process.env["DURATIONS"] === "keep") keepDurations(first.testModules);
const results = new Map<string, TestModule>(first.testModules.map((module) => [module.id, module]));
const failed = first.testModules.filter((module) => tallyOf([module]).failed > 0);
const fromLab = failed.filter((module) => ON_HOSTS.includes(module.project.name));
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

/** The files of one slice of test/matrix, and all other files. */
function withSlice(slice: string, all: TestSpecification[]): TestSpecification[] {
  const name = ({ moduleId }: TestSpecification) => relative(".", moduleId);
  const isMatrix = ({ project }: TestSpecification) => project.name === "matrix";
  const slices = slicesOf(all.filter(isMatrix).map(name));
  // The commit's slice depends on the same number as its sample.
  const number = slice === "commit" ? 1 + (Number(process.env["SAMPLE"]) % slices.length) : Number(slice);
  const those = slices[number - 1];
  if (those === undefined)
    throw new Error(`SLICE must be from 1 to ${slices.length}, or commit; it is ${slice}`);
  console.log(`SLICE=${number} of ${slices.length}: ${those.join(" ")}`);
  return all.filter((each) => !isMatrix(each) || those.includes(name(each)));
}

/** Writes how long these files took, and removes files that no longer exist. */
function keepDurations(modules: readonly TestModule[]): void {
  const durations = JSON.parse(readFileSync(FILE, "utf8")) as Record<string, number>;
  for (const module of modules) {
    if (!ON_HOSTS.includes(module.project.name) || !passed(module)) continue;
    durations[relative(".", module.moduleId)] = Math.round(module.diagnostic().duration / 1000);
  }
  const entries = Object.entries(durations).filter(([file]) => existsSync(file));
  const sorted = Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(FILE, `${JSON.stringify(sorted, null, 2)}\n`);
}

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
