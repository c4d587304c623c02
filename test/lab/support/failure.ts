import { vi } from "vitest";
import { type LabStack, StackError } from "../../../lab/stack.ts";

/** Runs an `up` that must fail, and gives all that its user is shown: the errors, and what was said beside them. */
export async function failedUp(stack: LabStack): Promise<string> {
  // Where a program runs inside this process, part of it comes by way of the console.
  const said: unknown[] = [];
  const spies = [
    vi.spyOn(console, "error").mockImplementation((...words) => void said.push(...words)),
    vi.spyOn(console, "log").mockImplementation((...words) => void said.push(...words)),
  ];
  try {
    const { changes } = await stack.up();
    throw new Error(`this up should have failed: ${JSON.stringify(changes)}`);
  } catch (error) {
    if (!(error instanceof StackError)) throw error;
    return [error.message, ...error.diagnostics, ...said.map(String)].join("\n");
  } finally {
    spies.forEach((spy) => spy.mockRestore());
  }
}
