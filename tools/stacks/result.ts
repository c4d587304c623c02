/** What became of each stack, in words: a line as it ends, and all of them at the end. */
import type { OpMap } from "@pulumi/pulumi/automation/index.js";
import type { HostDrift } from "../drift.ts";
import type { HostStatus } from "../status.ts";

/** What is done with each stack. */
export type Operation = "preview" | "up" | "drift" | "status";

/** A resource that changes. */
export interface Change {
  op: string;
  type: string;
  name: string;
}

/** The result for one stack, as `--json` prints it. */
export interface StackResult {
  stack: string;
  /**
   * - `ok`: all is as it should be;
   * - `differs`: a tunnel is not up, something has drifted, or there are changes where none are expected;
   * - `failed`: it could not be done, or not completely;
   * - `not begun`: the run was interrupted before its turn.
   */
  outcome: "ok" | "differs" | "failed" | "not begun";
  /** In words; of a failure, the first error. */
  text: string;
  seconds: number;
  /** What there is to see, a line each. Not for programs. */
  details: string[];
  /** How many resources an `up` has changed or a preview would change, by Pulumi's names of operations. */
  changes?: OpMap;
  /** Which ones. */
  resources?: Change[];
  /** What `status` or `drift` found, host by host. */
  hosts?: HostStatus[] | HostDrift[];
}

/** 2 if a stack failed or was not begun, 1 if one differs, otherwise 0. */
export function exitStatusOf(results: StackResult[]): number {
  const some = (...outcomes: string[]) => results.some(({ outcome }) => outcomes.includes(outcome));
  return some("failed", "not begun") ? 2 : some("differs") ? 1 : 0;
}

/** The lines for a stack that has ended. */
export function linesOf(
  operation: Operation,
  { stack, outcome, text, seconds, details }: StackResult,
): string[] {
  const failed = outcome === "failed" ? "failed: " : "";
  return [
    `${stack}: ${operation}: ${failed}${text}, ${Math.round(seconds)} s`,
    ...details.map((line) => `    ${line}`),
  ];
}

/** How many ended how, the failures once more, and how to go on. `options` are those to repeat. */
export function summaryOf(operation: Operation, results: StackResult[], options: string[] = []): string[] {
  const of = (outcome: StackResult["outcome"]) => results.filter((each) => each.outcome === outcome);
  const counts = (["ok", "differs", "failed", "not begun"] as const).flatMap((outcome) =>
    of(outcome).length > 0 ? [`${of(outcome).length} ${outcome}`] : [],
  );
  const [failed, waiting] = [of("failed"), of("not begun")];
  const again = [...failed, ...waiting].map(({ stack }) => stack);
  return [
    `${operation} of ${results.length} stack${results.length === 1 ? "" : "s"}: ${counts.join(", ")}`,
    ...failed.map(({ stack, text }) => `  ${stack} failed: ${text}`),
    ...(waiting.length > 0 ? [`  not begun: ${waiting.map(({ stack }) => stack).join(", ")}`] : []),
    ...(again.length > 0
      ? [`go on with: npm run stacks -- ${[operation, ...options, ...again].join(" ")}`]
      : []),
  ];
}

/** "2 updated, 18 unchanged", or "2 to update, 18 unchanged". `none` is what to say if there is not even an unchanged one. */
export function changesInWords(changes: OpMap, planned: boolean, none = "nothing to do"): string {
  const words: [keyof OpMap, string, string][] = [
    ["create", "created", "to create"],
    ["update", "updated", "to update"],
    ["replace", "replaced", "to replace"],
    ["delete", "deleted", "to delete"],
    ["same", "unchanged", "unchanged"],
  ];
  const parts = words.flatMap(([op, done, todo]) =>
    changes[op] ? [`${changes[op]} ${planned ? todo : done}`] : [],
  );
  return parts.join(", ") || none;
}

/** As many resources as a reader takes in, by name, with Pulumi's signs for what happens to them. */
export function changesInLines(resources: Change[], most = 10): string[] {
  const signs: Record<string, string> = { create: "+", delete: "-", replace: "+-" };
  const lines = resources.map(({ op, name }) => `${signs[op] ?? "~"} ${name}`);
  const more = lines.length - most;
  return more > 0 ? [...lines.slice(0, most), `and ${more} more`] : lines;
}
