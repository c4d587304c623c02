import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";

/** One finished step of a deployment, for a display of progress. */
export interface Step {
  /** How many steps have finished so far, including this one. */
  done: number;
  /** What was done: create, update, delete, same, … */
  op: string;
  type: string;
  name: string;
}

/** The engine's messages during one operation, collected from its events. */
export class Report {
  /** Warnings and errors, and what the program logged: "warning: …", with the resource's name if there is one. */
  readonly diagnostics: string[] = [];
  /** Only the error texts: one for each resource that failed, or for the program. */
  readonly errors: string[] = [];
  private done = 0;
  private readonly onStep: ((step: Step) => void) | undefined;

  constructor(onStep?: (step: Step) => void) {
    this.onStep = onStep;
  }

  /** Adds one event of the engine. */
  add(event: EngineEvent): void {
    if (event.diagnosticEvent && !event.diagnosticEvent.ephemeral) {
      const { severity, urn = "", message } = event.diagnosticEvent;
      this.addDiagnostic(severity, isStack(urn) ? "" : nameOf(urn), plain(message));
    }
    const finished = event.resOutputsEvent?.metadata;
    // The engine also reports the stack and the providers, some of them twice.
    if (finished && !finished.type.startsWith("pulumi:")) {
      this.done += 1;
      const { op, type, urn } = finished;
      this.onStep?.({ done: this.done, op, type, name: nameOf(urn) });
    }
  }

  private addDiagnostic(severity: string, name: string, text: string): void {
    if (severity === "debug" || text === "") return;
    const line = name === "" ? text : `${name}: ${text}`;
    // "info#err" is what a process wrote to standard error.
    this.diagnostics.push(`${severity.replace("#err", "")}: ${line}`);
    // "update failed" on the stack itself only repeats that one of its resources failed.
    if (severity === "error" && !/^(update|preview|destroy|refresh|resource .*) failed$/.test(text)) {
      this.errors.push(line);
    }
  }
}

/** A resource's own name, the last part of its URN. */
export function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}

/** The stack itself has a URN too, but its name is no help in a diagnostic. */
function isStack(urn: string): boolean {
  return urn.includes("::pulumi:pulumi:Stack::");
}

/** The text without the engine's colour marks. */
function plain(text: string): string {
  return text.replace(/<\{%.*?%\}>/g, "").trim();
}
