/** The same operation on many stacks of a folder: `npm run stacks`. docs/environments.md has more. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { projectIn } from "./stackSettings.ts";
import { chooseStacks, stacksIn } from "./stacks/choose.ts";
import type { Operation } from "./stacks/result.ts";
import { defaultParallel } from "./stacks/run.ts";
import type { Task } from "./stacks/worker.ts";

const usage = `usage: npm run stacks -- preview|up|drift|status [options] STACK…

Does the same with several stacks of this project, a few at a time, and continues after a failure.
Each STACK is a name or a pattern in quotes, such as 'site-*', 'site-[0-4]?' or '{staging,prod}'.
'*' is all that have a Pulumi.<stack>.yaml.

  preview  what 'pulumi up' would change, in a few lines for each stack
  up       runs 'pulumi up', and creates a stack that does not exist yet
  drift    what differs on the hosts, as npm run drift shows it
  status   how the tunnels are, as npm run status shows it

  --parallel N         how many stacks at a time (${defaultParallel})
  --yes                for 'up', which asks nothing: without it, nothing begins
  --expect-no-changes  for 'preview': a stack with changes counts as one that differs
  --json               for programs; docs/environments.md has the fields
  -C, --cwd DIR        the project's folder; else this one

Ctrl-C: no other stack begins, and those that are running end as 'pulumi up' does on Ctrl-C.
The second one ends them at once.

Exit status: 0 all is well, 1 a stack differs from what it should be, 2 a stack failed or did not get
its turn, or wrong usage.`;

const operations: readonly string[] = ["preview", "up", "drift", "status"] satisfies Operation[];

/** npm passes a signal on that the terminal has sent to every process: within this time, it is the same. */
const sameSignalMs = 1000;

/** What to do, or what to print instead. */
function taskOf(args: string[]): Task | string {
  const options = {
    parallel: { type: "string" },
    yes: { type: "boolean", short: "y", default: false },
    "expect-no-changes": { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    cwd: { type: "string", short: "C", default: "." },
    help: { type: "boolean", short: "h", default: false },
  } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  if (values.help) return usage;
  const [operation = "", ...patterns] = positionals;
  if (!operations.includes(operation)) {
    throw new Error(`say what to do: preview, up, drift or status; --help has more`);
  }
  const { folder, settingsFolder } = projectIn(resolve(values.cwd));
  const all = stacksIn(settingsFolder);
  if (patterns.length === 0) {
    throw new Error(
      `say which stacks, by name or pattern, or '*' for all; there are: ${all.join(", ") || "none"}`,
    );
  }
  const parallel = values.parallel === undefined ? defaultParallel : Number(values.parallel);
  if (!Number.isInteger(parallel) || parallel < 1) {
    throw new Error(`--parallel ${values.parallel}: say how many stacks at a time, 1 or more`);
  }
  if (values["expect-no-changes"] && operation !== "preview") {
    throw new Error("--expect-no-changes is for preview");
  }
  const stacks = chooseStacks(all, patterns);
  if (operation === "up" && !values.yes && process.env.PULUMI_SKIP_CONFIRMATIONS !== "true") {
    throw new Error(
      `this would run 'pulumi up' for ${stacks.join(", ")}, which asks nothing: look with preview, then repeat it with --yes`,
    );
  }
  return {
    ...{ operation: operation as Operation, stacks, folder, parallel },
    ...{ expectNoChanges: values["expect-no-changes"], json: values.json },
  };
}

/**
 * The work is done in a session of its own: else Ctrl-C would reach each CLI directly and once more from us, and the
 * second one makes it abandon what it is doing.
 */
async function supervise(task: Task): Promise<number> {
  const worker = fork(new URL("stacks/worker.ts", import.meta.url), [JSON.stringify(task)], {
    cwd: task.folder,
    detached: true,
    execArgv: ["--import", import.meta.resolve("tsx")],
  });
  let last = -Infinity;
  const passOn = () => {
    const isSame = performance.now() - last < sameSignalMs;
    last = performance.now();
    if (!isSame && worker.connected) worker.send("interrupt");
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, passOn);
  const [code] = (await once(worker, "exit")) as [number | null];
  return code ?? 2;
}

try {
  const task = taskOf(process.argv.slice(2));
  if (typeof task === "string") console.log(task);
  else process.exitCode = await supervise(task);
} catch (error) {
  console.error(`stacks: ${(error as Error).message}`);
  process.exitCode = 2;
}
