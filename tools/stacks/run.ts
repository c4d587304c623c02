/** Runs an operation on many stacks, a few at a time: `npm run stacks`. docs/environments.md has more. */
import { setMaxListeners } from "node:events";
import type { LocalWorkspaceOptions } from "@pulumi/pulumi/automation/index.js";
import pMap from "p-map";
import type { Say } from "../stackSettings.ts";
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

/** Runs them all, also after a failure, and returns their results in the order of the stacks. */
export async function runStacks(options: RunOptions): Promise<StackResult[]> {
  const { operation, stacks, parallel = defaultParallel, say } = options;
  const signal = options.signal ?? new AbortController().signal;
  // Each of the runs listens to it.
  setMaxListeners(0, signal);
  const operations = await operationsIn({ ...options, signal });
  return pMap(
    stacks,
    async (stack): Promise<StackResult> => {
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
    },
    { concurrency: parallel },
  );
}
