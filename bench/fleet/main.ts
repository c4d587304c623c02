/**
 * `make bench-fleet`: the cost of the program with many internal hosts, compared with Ansible on the same hosts. Prints
 * tables; with --write it also stores them, their numbers and their plot in docs/.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findEngine } from "../../lab/engine.ts";
import { documentPath, keep, markdown, writeNumbers } from "../document.ts";
import { describeMachine, today } from "../machine.ts";
import { count, counts } from "../options.ts";
import { install } from "../tools/all.ts";
import { ANSIBLE, ansible } from "./ansible.ts";
import type { Contender } from "./contender.ts";
import { type DriftCost, measureDrift, reportDrift } from "./drift.ts";
import { Fleet } from "./fleet.ts";
import { type Measure, measure } from "./measure.ts";
import { project, projectInStacks } from "./project.ts";
import { contendersIn, fleetPlot, fleetTables, measuredLines } from "./report.ts";
import { type Results, type Run, merge } from "./results.ts";

const USAGE = `npx tsx bench/fleet/main.ts [options]
  --hosts A,B     numbers of internal hosts (1,10,30,100, or what HOSTS says)
  --idle N        seconds for which the public host is watched while there is nothing to do (60, or IDLE); its checks
                  of the tunnels come every 30 s
  --limit N       seconds after which an operation is ended (120, and 20 more for each host; or LIMIT)
  --forks A,B     with how many forks Ansible runs (50,5, or FORKS); 0 leaves Ansible out
  --stacks N      measure the same hosts also as N stacks, where there are that many, and one more for the public host
                  (0: no, or STACKS)
  --drift         measure only what \`drift: true\` adds to a preview, without Ansible
  --lab NAME      name of the lab (bench-fleet)
  --write         keep the tables, the numbers and the plot in docs/; other numbers of hosts stay
  --draw          measure nothing: make the tables and the plot from the numbers in docs/`;

const NUMBERS = documentPath("bench-fleet.json");

const progress = (line: string) => console.error(line);

async function main(): Promise<void> {
  const { FORKS, HOSTS, IDLE, LIMIT, STACKS } = process.env;
  const { values } = parseArgs({
    options: {
      hosts: { type: "string", default: HOSTS || "1,10,30,100" },
      forks: { type: "string", default: FORKS || "50,5" },
      idle: { type: "string", default: IDLE || "60" },
      limit: { type: "string", default: LIMIT || undefined },
      stacks: { type: "string", default: STACKS || "0" },
      drift: { type: "boolean", default: false },
      lab: { type: "string", default: "bench-fleet" },
      write: { type: "boolean", default: false },
      draw: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  if (values.draw) return report(readResults(), true);

  const sizes = counts("--hosts", values.hosts);
  const forks = values.forks === "0" ? [] : counts("--forks", values.forks);
  const stacks = values.stacks === "0" ? 0 : count("--stacks", values.stacks);
  const idleSeconds = count("--idle", values.idle);
  const limit = values.limit === undefined ? undefined : count("--limit", values.limit);
  // What a user of many hosts sets: a host that is down does not prevent the others.
  process.env.PULUMI_CONTINUE_ON_ERROR = "true";
  const limitFor = (size: number) => limit ?? 120 + 20 * size;
  if (values.drift) {
    const costs: DriftCost[] = [];
    for (const size of sizes) {
      await withFleet(values.lab, size, async (fleet) => {
        costs.push(await measureDrift(fleet, limitFor(size), progress));
      });
    }
    return reportDrift(await machine(), costs, values.write);
  }
  progress("Looking for Ansible, which is installed once, in less than a minute …");
  const folder = await install([ANSIBLE], progress);
  const playbook = join(folder, "ansible/bin/ansible-playbook");
  if (!existsSync(playbook)) throw new Error("there is no Ansible to compare with");

  const results: Results = { measured: {}, fleets: {} };
  const measured = await measuredWith(idleSeconds);
  try {
    for (const size of sizes) {
      results.measured[size] = measured;
      const how: Measure = { limitSeconds: limitFor(size), idleSeconds, onProgress: progress };
      await measureFleet(values.lab, size, { playbook, forks, stacks }, how, (results.fleets[size] = {}));
    }
  } catch (error) {
    await report(results, false);
    throw error;
  }
  const all = values.write ? merge(readResults(), results) : results;
  if (values.write) await writeNumbers(NUMBERS, all);
  await report(all, values.write);
}

async function measureFleet(
  lab: string,
  size: number,
  { playbook, forks, stacks }: { playbook: string; forks: number[]; stacks: number },
  how: Measure,
  runs: Record<string, Run>,
): Promise<void> {
  await withFleet(lab, size, async (fleet) => {
    const contenders = [
      await project(fleet),
      ...(stacks > 0 && stacks <= size ? [await projectInStacks(fleet, stacks)] : []),
      ...forks.map((count) => ansible(fleet, playbook, count)),
    ];
    for (const contender of contenders) await measure(fleet, contender, how, newRun(runs, contender));
  });
}

async function withFleet(lab: string, size: number, act: (fleet: Fleet) => Promise<void>): Promise<void> {
  const fleet = await Fleet.up(lab, size, progress);
  try {
    await act(fleet);
  } finally {
    progress("Taking the hosts down …");
    await fleet.lab.down();
  }
}

function newRun(runs: Record<string, Run>, { id }: Contender): Run {
  return (runs[id] = { samples: {} });
}

async function measuredWith(idleSeconds: number): Promise<string> {
  const [, version] = ANSIBLE.split("@");
  return `${await machine()}; ansible-core ${version}. Nothing to do for ${idleSeconds} s`;
}

async function machine(): Promise<string> {
  const engine = await findEngine();
  const providers = engine.providers.map(({ name, version, origin }) => `${name} ${version} (${origin})`);
  return `Measured on ${today()}: ${describeMachine()}, Pulumi ${engine.version}, providers ${providers.join(", ")}`;
}

function readResults(): Results {
  return existsSync(NUMBERS)
    ? (JSON.parse(readFileSync(NUMBERS, "utf8")) as Results)
    : { measured: {}, fleets: {} };
}

async function report(results: Results, write: boolean): Promise<void> {
  const contenders = contendersIn(results);
  const text = await markdown([...measuredLines(results), "", ...fleetTables(results, contenders)]);
  console.log(text);
  if (!write) return;
  const plot = "![Seconds by the number of internal hosts](bench-fleet.svg)";
  keep("make bench-fleet", `${plot}\n\n${text}`);
  writeFileSync(documentPath("bench-fleet.svg"), fleetPlot(results, contenders));
}

main().catch((error: unknown) => {
  console.error(`bench-fleet: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
