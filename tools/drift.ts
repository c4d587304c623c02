/** What somebody has changed on the hosts of a stack: `npm run drift`. docs/drift.md has more. */
import { warningsOf } from "../components/remote/drift.ts";
import type { HostLook } from "../components/remote/look.ts";
import { hostsToLookAt, lookForDrift } from "../components/remote/look.ts";
import { ownerOf } from "../components/remote/remoteScript.ts";
import type { Say, ToolOptions } from "./stackSettings.ts";
import { reachable, runTool, sayHere, sayWaiting, settingsOf, stackName } from "./stackSettings.ts";

const usage = `usage: npm run drift -- [--stack NAME] [--json]

Asks each host of the stack, over its admin connection, what differs there from what the last
'pulumi up' left. The stack needs 'drift: true'.

  --stack NAME  the stack; else the one that is selected
  --json        for programs; docs/drift.md has the fields

Exit status: 0 nothing differs, 1 something does, 2 a host could not be looked at, or wrong usage
or settings.`;

/** The result for one host, as `--json` prints it. */
export interface HostDrift {
  host: string;
  /** Why it could not be looked at, or not at everything; null if it could. */
  error: string | null;
  /** What differs, each with the command of Pulumi's program whose record it is on. */
  drift: { what: string; record: string | null }[];
}

/** The result for a stack: host by host, and in words. */
export interface StackDrift {
  hosts: HostDrift[];
  lines: string[];
}

/** The result of a look. */
export function driftFrom(host: string, look: HostLook): HostDrift {
  const { error, notes, lacksTools, drift } = look;
  return {
    host,
    error: error ?? (notes.length > 0 ? notes.join("; ") : null),
    drift: [
      ...(lacksTools ? [{ what: "the tools of this project are missing or changed", record: null }] : []),
      ...Object.entries(drift).flatMap(([record, { findings }]) =>
        findings.map((what) => ({ what, record })),
      ),
    ],
  };
}

/** 2 if a host could not be looked at, 1 if something differs, otherwise 0. */
export function exitStatusOf(hosts: HostDrift[]): number {
  if (hosts.some(({ error }) => error !== null)) return 2;
  return hosts.some(({ drift }) => drift.length > 0) ? 1 : 0;
}

/** Looks at all hosts of a stack; by default, of the one that is selected in this folder. */
export async function driftOfStack(stack?: string, say: Say = sayHere): Promise<StackDrift> {
  const { config, project } = await settingsOf("drift", stack);
  if (!config.drift) {
    throw new Error(
      `the hosts of this stack have noted nothing to compare with: run 'pulumi config set ${project}:drift true' and 'pulumi up' first`,
    );
  }
  const looks = await lookForDrift(
    hostsToLookAt(config.publicHosts, await reachable(config.internalHosts, say)),
    ownerOf(project, await stackName(stack)),
    sayWaiting(say),
  );
  return {
    hosts: Object.entries(looks).map(([name, look]) => driftFrom(name, look)),
    lines: Object.values(looks).flatMap(warningsOf),
  };
}

async function main(options: ToolOptions): Promise<number> {
  const { hosts, lines } = await driftOfStack(options.stack);
  if (options.json) console.log(JSON.stringify({ hosts }, undefined, 2));
  else console.log(lines.length > 0 ? lines.join("\n") : "nothing differs");
  return exitStatusOf(hosts);
}

if (process.argv[1] === import.meta.filename) await runTool("drift", usage, main);
