/**
 * `make bench-recovery`: how long each tool's tunnel is down after each fault. Prints a table; with --write it also
 * stores it, its numbers and its plot in docs/.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cacheFolder } from "../../lab/image.ts";
import { documentPath, keep, markdown, writeNumbers } from "../document.ts";
import { measuredWith, withPairs } from "../hosts.ts";
import { chosen, count } from "../options.ts";
import type { Pair } from "../pair.ts";
import { median } from "../statistics.ts";
import { type Installed, allTools, buildTools, toolTable } from "../tools/all.ts";
import { Agenda } from "./agenda.ts";
import { type Fault, allFaults } from "./faults.ts";
import { keepJournals } from "./journals.ts";
import { recoveryPlot } from "./plot.ts";
import { recoveryTable, trialsInWords } from "./report.ts";
import { type Results, merge, readResults } from "./results.ts";
import { type Client, type Trial, runTrial } from "./trial.ts";

const USAGE = `npx tsx bench/recovery/main.ts [options]
  --faults A,B    only these: ${allFaults.map(({ id }) => id).join(",")}
  --tools A,B     only these: ${allTools.map(({ id }) => id).join(",")}
  --trials N      of each fault, with and without a client (5)
  --limit N       seconds after which a tool has not come back: "never" (60)
  --pairs N       pairs of hosts that work side by side (5)
  --lab NAME      name of the lab (bench-recovery)
  --resume        go on with the run that was interrupted
  --journals DIR  keep both hosts' journals of every trial
  --write         keep the table, the numbers and the plot in docs/; what was not tried stays
  --draw          measure nothing: make the table and the plot from the numbers in docs/`;

const progress = (line: string) => console.error(line);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      faults: { type: "string" },
      tools: { type: "string" },
      trials: { type: "string", default: "5" },
      limit: { type: "string", default: "60" },
      pairs: { type: "string", default: "5" },
      lab: { type: "string", default: "bench-recovery" },
      resume: { type: "boolean", default: false },
      journals: { type: "string" },
      write: { type: "boolean", default: false },
      draw: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const numbers = documentPath("bench-recovery.json");
  if (values.draw) return report(readResults(numbers), true);

  const faults = chosen("--faults", values.faults, allFaults);
  const installed = await buildTools(chosen("--tools", values.tools, allTools), progress);
  const unfinished = join(cacheFolder(), "bench", "recovery.json");
  const results: Results = values.resume ? readResults(unfinished) : { measured: "", trials: [] };
  const limit = count("--limit", values.limit);
  const jobs = missing(faults, count("--trials", values.trials), results);
  const pairs = Math.min(count("--pairs", values.pairs), jobs.length);
  const measureAll = async (all: Pair[]) => {
    results.measured = await measuredWith(all, `"never" is more than ${limit} s`);
    const keepAll = () => writeNumbers(unfinished, results);
    await runJobs(all, jobs, installed, limit, results, keepAll, values.journals);
  };
  if (pairs > 0) await withPairs(values.lab, pairs, installed, progress, measureAll);
  const merged = values.write ? merge(readResults(numbers), results) : results;
  if (values.write) await writeNumbers(numbers, merged);
  await report(merged, values.write);
}

interface Job {
  fault: Fault;
  client: Client;
  number: number;
}

/** The remaining jobs, longest first: a short one fits next to another's end. */
function missing(faults: Fault[], trials: number, { trials: done }: Results): Job[] {
  const all = Array.from({ length: trials }, (_, index) =>
    faults.flatMap((fault) =>
      (["retrying", "nobody"] as const).map((client) => ({ fault, client, number: index + 1 })),
    ),
  ).flat();
  return all
    .filter(
      (job) =>
        !done.some(
          (trial) =>
            trial.fault === job.fault.id && trial.client === job.client && trial.number === job.number,
        ),
    )
    .toSorted((a, b) => (b.fault.seconds > 60 ? 1 : 0) - (a.fault.seconds > 60 ? 1 : 0));
}

/** Each pair takes the next job when it has finished its own. */
async function runJobs(
  pairs: Pair[],
  jobs: Job[],
  { tools }: Installed,
  limitSeconds: number,
  results: Results,
  onResult: () => Promise<void>,
  journals: string | undefined,
): Promise<void> {
  const agenda = new Agenda();
  const waiting = jobs.map((job) => ({ ...job, failures: 0 }));
  let done = 0;
  const work = async (pair: Pair) => {
    for (let job = waiting.shift(); job; job = waiting.shift()) {
      const name = `${job.fault.id}-${job.client}-${job.number}`;
      try {
        const trial = await runTrial({ pair, tools, limitSeconds, agenda, ...job });
        results.trials.push(trial);
        await onResult();
        progress(`${++done} of ${jobs.length}: ${name}, pair ${pair.number}: ${inOneLine(trial)}`);
        if (journals) await keepJournals(pair, journals, name, trial.at);
      } catch (error) {
        // For example because the machine is too busy: the trial is repeated, perhaps by another pair.
        if (++job.failures === 3) throw error;
        progress(`${name}, pair ${pair.number}, is made again: ${String(error)}`);
        waiting.push(job);
      }
    }
  };
  // If one fails, the others still finish: their measurements are kept.
  const ends = await Promise.allSettled(pairs.map(work));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

function inOneLine({ seconds, idleCpu }: Trial): string {
  const times = Object.entries(seconds).map(([tool, time]) => `${tool} ${time?.toFixed(2) ?? "never"}`);
  return `${times.join(", ")}; CPU idle ${(idleCpu * 100).toFixed(0)} %`;
}

async function report(results: Results, write: boolean): Promise<void> {
  const known = new Set(results.trials.flatMap(({ seconds }) => Object.keys(seconds)));
  const tools = allTools.filter(({ id }) => known.has(id));
  const idle = median(results.trials.map(({ idleCpu }) => idleCpu));
  const text = await markdown([
    `${results.measured}. ${trialsInWords(results)} CPU idle at the ends of the faults: ${(idle * 100).toFixed(0)} % (median of all trials).`,
    "",
    ...recoveryTable(results, allFaults, tools),
    "",
    ...toolTable(tools),
  ]);
  console.log(text);
  if (!write) return;
  keep("make bench-recovery", text);
  writeFileSync(documentPath("bench-recovery.svg"), recoveryPlot(results, allFaults, tools));
}

main().catch((error: unknown) => {
  console.error(`bench-recovery: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
