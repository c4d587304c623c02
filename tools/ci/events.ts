/** What a run of Pulumi did, or would do, in a few lines. */
import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import { hostOf } from "../../components/names.ts";
import { changesInWords } from "../stacks/result.ts";

/** A run, from the engine's events. */
export interface Summary {
  /** "2 to update, 20 unchanged"; undefined if the run did not get that far. */
  counts: string | undefined;
  /** Errors and warnings, then what changes, a line for each host. */
  lines: string[];
}

interface Diagnostic {
  severity: string;
  urn?: string | undefined;
  message: string;
}

const operations = ["create", "update", "replace", "delete"] as const;

const nameOf = (urn: string) => urn.split("::").slice(3).join("::");
const typeOf = (urn: string) => urn.split("::")[2]!.split("$").at(-1)!;

/** How many names of one kind of change a line has. */
const NAMES = 6;

/** The events of one run, as the engine writes them with `--event-log`, a line each. */
export function eventsIn(text: string): EngineEvent[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as EngineEvent);
}

export function summarize(command: "preview" | "up", events: EngineEvent[]): Summary {
  const counted = events.findLast((event) => event.summaryEvent)?.summaryEvent?.resourceChanges;
  return {
    counts: counted && changesInWords(counted, command === "preview", "0 unchanged"),
    lines: [...diagnostics(events), ...changes(events)],
  };
}

/** Errors first. One that only says that the run or a resource failed repeats another one. */
function diagnostics(events: EngineEvent[]): string[] {
  const found = events.flatMap(({ diagnosticEvent, policyEvent }): Diagnostic[] => {
    if (policyEvent) {
      const { policyName, message, enforcementLevel, resourceUrn } = policyEvent;
      const severity = enforcementLevel === "mandatory" ? "error" : "warning";
      // The first line is what the policy is about.
      const [, ...found] = message.trim().split("\n");
      const text = found.length > 0 ? found.join("\n") : message;
      return [{ severity, urn: resourceUrn, message: `${text.trim()} (policy ${policyName})` }];
    }
    return diagnosticEvent && !diagnosticEvent.ephemeral ? [diagnosticEvent] : [];
  });
  const of = (wanted: string) =>
    found
      .filter(({ severity }) => severity === wanted)
      .flatMap(({ urn = "", message }) => {
        const text = message.trim();
        if (/^(using pulumi-\S+ from \$PATH|(update|preview|resource .*) failed$)/.test(text)) return [];
        const whose = urn === "" || typeOf(urn) === "pulumi:pulumi:Stack" ? "" : `${nameOf(urn)}: `;
        return text.split("\n").map((line) => `${wanted}: ${whose}${line.trim()}`);
      });
  return [...new Set([...of("error"), ...of("warning")])];
}

/** "nas: update nas-start, nas-finish": the commands that change on each host; without a host, the resource's name. */
function changes(events: EngineEvent[]): string[] {
  const parents = new Map<string, string>();
  const byHost = new Map<string, Map<string, string[]>>();
  const steps = events.flatMap(({ resourcePreEvent }) => resourcePreEvent?.metadata ?? []);
  for (const { urn, new: after, old: before } of steps) {
    const parent = after?.parent ?? before?.parent;
    if (parent) parents.set(urn, parent);
  }
  for (const { op, urn, type } of steps) {
    const operation = operations.find((each) => each === (op as string));
    // The components around the commands, and providers, would only repeat what these say.
    if (!operation || /^(pulumi:(pulumi|providers):|ssh-reverse-tunnel:)/.test(type)) continue;
    const host = hostAbove(urn, parents);
    const kinds = byHost.get(host) ?? new Map<string, string[]>();
    // An `up` with a preview has each step twice.
    kinds.set(operation, [...new Set([...(kinds.get(operation) ?? []), nameOf(urn)])]);
    byHost.set(host, kinds);
  }
  return [...byHost]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([host, kinds]) => {
      const listed = [...kinds].map(([operation, names]) => {
        const more = names.length > NAMES ? [`and ${names.length - NAMES} more`] : [];
        return `${operation} ${[...names.slice(0, NAMES), ...more].join(", ")}`;
      });
      return `${host}: ${listed.join("; ")}`;
    });
}

/** The host that a resource is on: the one whose component it is below, or the one that a tunnel's stage names. */
function hostAbove(urn: string, parents: Map<string, string>): string {
  const parent = parents.get(urn);
  if (parent === undefined || typeOf(parent) === "pulumi:pulumi:Stack") return "stack";
  const [name, above] = [nameOf(urn), nameOf(parent)];
  switch (typeOf(parent)) {
    case "ssh-reverse-tunnel:index:PublicHost":
    case "ssh-reverse-tunnel:index:InternalHost":
      return above;
    case "ssh-reverse-tunnel:index:ReverseTunnel":
      return hostOf(above, name) ?? above;
    default:
      return hostAbove(parent, parents);
  }
}
