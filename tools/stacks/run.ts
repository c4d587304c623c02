/** Runs an operation on many stacks, a few at a time: `npm run stacks`. docs/environments.md has more. */
import { setMaxListeners } from "node:events";
import type { LocalWorkspaceOptions } from "@pulumi/pulumi/automation/index.js";
import pMap from "p-map";
import type { Say } from "../stackSettings.ts";
import { projectIn } from "../stackSettings.ts";
import { managersOf } from "./choose.ts";
import { operationsIn, sentenceOf } from "./operations.ts";
import type { Operation, StackResult } from "./result.ts";
import { linesOf } from "./result.ts";
import { defaultParallel } from "./task.ts";

/** What to run, on which stacks, and how. */
export interface RunOptions {
  operation: Operation;
  /** Their names, each once. */
  stacks: string[];
  /** The project's folder. `drift` and `status` take that of this process. */
  folder: string;
  /** How many at a time. */
  parallel?: number;
  /** Whether a preview with changes differs from what it should be. */
  expectNoChanges?: boolean;
  /** Aborted when the user interrupts: no other stack begins, and those that run end as `pulumi` does after Ctrl-C. */
  signal?: AbortSignal;
  /** Where what happens is said, line by line. */
  say: Say;
  /** For the Automation API, such as the environment of the engine. */
  workspace?: LocalWorkspaceOptions;
}

/**
 * Runs them all, also after a failure. A stack that manages a public host for others comes first, and their `up` waits for
 * its own, whose outputs they read.
 */
export async function runStacks(options: RunOptions): Promise<StackResult[]> {
  const { operation, parallel = defaultParallel, say } = options;
  const signal = options.signal ?? new AbortController().signal;
  // Each of the runs listens to it.
  setMaxListeners(0, signal);
  const operations = await operationsIn({ ...options, signal });

  const runOne = async (stack: string): Promise<StackResult> => {
    const nothing = { stack, seconds: 0, details: [] };
    if (signal.aborted) return { ...nothing, outcome: "not begun", text: "" };
    say(`${stack}: ${operation} …`);
    const started = performance.now();
    const outcome = await operations[operation](stack).catch((error: unknown) => ({
      outcome: "failed" as const,
      text: sentenceOf(error, stack),
    }));
    const result = { ...nothing, ...outcome, seconds: (performance.now() - started) / 1000 };
    for (const line of linesOf(operation, result)) say(line);
    return result;
  };

  const { settingsFolder } = projectIn(options.folder);
  const managers = new Map(options.stacks.map((stack) => [stack, managersOf(settingsFolder, stack)]));
  const isManager = (stack: string) => [...managers.values()].flat().includes(stack);
  // Those that have begun: nobody waits for one that comes later.
  const begun = new Map<string, Promise<StackResult>>();
  return pMap(
    [...options.stacks.filter(isManager), ...options.stacks.filter((stack) => !isManager(stack))],
    (stack) => {
      const before =
        operation === "up" ? managers.get(stack)!.flatMap((manager) => begun.get(manager) ?? []) : [];
      const result = Promise.all(before).then(() => runOne(stack));
      begun.set(stack, result);
      return result;
    },
    { concurrency: parallel },
  );
}
