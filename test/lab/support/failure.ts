import { vi } from "vitest";
import { type LabStack, StackError } from "../../../lab/stack.ts";

/** Output on the console: a program that runs inside this process prints some of its messages there. */
const said: string[] = [];

/** Runs an `up` that must fail, and returns everything that its user sees: the errors, and the other messages. */
export async function failedUp(stack: LabStack): Promise<string> {
  const start = listen();
  const outcome = await stack.up().catch((error: unknown) => error);
  if (!(outcome instanceof StackError)) {
    throw outcome instanceof Error
      ? outcome
      : new Error(`this up should have failed: ${JSON.stringify(outcome)}`);
  }
  return [outcome.message, ...outcome.diagnostics, ...said.slice(start)].join("\n");
}

/** Listens from the first call on, permanently: several of these may run at the same time. */
function listen(): number {
  if (!vi.isMockFunction(console.error)) {
    for (const method of ["error", "log"] as const) {
      vi.spyOn(console, method).mockImplementation((...words) => void said.push(words.join(" ")));
    }
  }
  return said.length;
}
