/**
 * `make bench-backends`: how long `pulumi` takes for one tunnel where the state is in files, in PostgreSQL and in an S3
 * server, both on this machine. Prints a table; with --write it also updates docs/benchmarks.md.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startPostgres } from "../lab/backends/postgres.ts";
import { startS3 } from "../lab/backends/s3.ts";
import type { Backend, BackendServer } from "../lab/backends/server.ts";
import { findEngine } from "../lab/engine.ts";
import { Lab } from "../lab/lab.ts";
import { labAdmin, openProgram } from "../lab/program.ts";
import type { LabStack } from "../lab/stack.ts";
import { keep, markdown, table } from "./document.ts";
import { describeMachine, today } from "./machine.ts";
import { count } from "./options.ts";
import { median, worst } from "./statistics.ts";

const USAGE = `npx tsx bench/backends.ts [options]
  --rounds N   of all backends, interleaved (5)
  --write      keep the table in docs/benchmarks.md`;

const progress = (line: string) => console.error(line);
const OPERATIONS = ["first up", "second up", "preview", "destroy"] as const;
type Operation = (typeof OPERATIONS)[number];

/** A backend, and the seconds that each operation took in each round. */
interface Contender {
  title: string;
  backend?: Backend;
  seconds: Record<Operation, number[]>;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const rounds = count("--rounds", values.rounds);
  const engine = await findEngine();
  const servers: BackendServer[] = [];
  const lab = await Lab.up({ name: "bench-backends", hosts: ["gate", "nas"], onProgress: progress });
  try {
    for (const start of [startPostgres, startS3]) servers.push(await start(progress));
    const [files, ...others] = contenders(servers);
    await measure(lab, [files!, ...others], rounds);
    const text = await markdown([
      `Measured on ${today()}: ${rounds} rounds, interleaved; median (worst) in seconds, and the median as a multiple of that with files. ${describeMachine()}, Pulumi ${engine.version}.`,
      "",
      ...table(
        ["state in", ...OPERATIONS],
        [files!, ...others].map((each) => [
          each.title,
          ...OPERATIONS.map((operation) => cell(each.seconds[operation], files!.seconds[operation])),
        ]),
      ),
    ]);
    console.log(text);
    if (values.write) keep("make bench-backends", text);
  } finally {
    for (const server of servers) await server.stop();
    await lab.down();
  }
}

function contenders(servers: BackendServer[]): Contender[] {
  const none = () => ({ "first up": [], "second up": [], preview: [], destroy: [] });
  return [
    { title: "files", seconds: none() },
    ...servers.map((backend) => ({ title: backend.name, backend, seconds: none() })),
  ];
}

async function measure(lab: Lab, all: Contender[], rounds: number): Promise<void> {
  const stacks = new Map<Contender, LabStack>();
  for (const each of all) {
    const directory = join(lab.directory, "stacks", `state-${stacks.size}`);
    const { backend } = each;
    stacks.set(
      each,
      await openProgram(lab, { directory, config: settings(lab), ...(backend && { backend }) }),
    );
  }
  for (let round = 1; round <= rounds; round++) {
    for (const [{ title, seconds }, stack] of stacks) {
      progress(`round ${round} of ${rounds}: ${title} …`);
      seconds["first up"].push((await stack.up()).seconds);
      seconds["second up"].push((await stack.up()).seconds);
      seconds.preview.push((await stack.preview()).seconds);
      seconds.destroy.push((await stack.destroy()).seconds);
    }
  }
}

/** One tunnel with two forwards and a login back, as in `make bench`. */
function settings(lab: Lab): Record<string, unknown> {
  const [gate, nas] = [lab.host("gate"), lab.host("nas")];
  return {
    publicHosts: { gate: { ...labAdmin(lab, gate), allowUsers: ["root", "admin"] } },
    internalHosts: {
      nas: {
        ...labAdmin(lab, nas),
        forwards: { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 80 } },
        logins: [{ from: "root", to: "root" }],
      },
    },
  };
}

function cell(seconds: number[], withFiles: number[]): string {
  const [middle, other] = [median(seconds), median(withFiles)];
  return `${middle.toFixed(1)} (${worst(seconds).toFixed(1)}), ${(middle / other).toFixed(2)}×`;
}

main().catch((error: unknown) => {
  console.error(`bench-backends: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
