/** What `npm run stacks` is to do, from its arguments. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { projectIn } from "../stackSettings.ts";
import { chooseStacks, stacksIn } from "./choose.ts";
import type { Operation } from "./result.ts";

/** What to do. */
export interface Task {
  operation: Operation;
  /** Their names, each once. */
  stacks: string[];
  /** The project's. */
  folder: string;
  /** How many stacks at a time. */
  parallel: number;
  expectNoChanges: boolean;
  json: boolean;
}

/**
 * Each run is a Pulumi CLI, the program and its providers: some 600 MB. Stacks often share a public host, whose sshd drops
 * logins at random when ten are going on (MaxStartups).
 */
export const defaultParallel = 4;

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

/** The task, or what to print instead. */
export function taskOf(args: string[]): Task | string {
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
