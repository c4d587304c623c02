import { join } from "node:path";
import pMap from "p-map";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Result } from "../../lab/stack.ts";
import { defaultParallel } from "../../tools/stacks/task.ts";
import { type State, stateOf } from "../state.ts";
import type { Contender } from "./contender.ts";
import type { Fleet, Tunnel } from "./fleet.ts";

/** Seconds after its limit in which an operation can finish what it has begun. */
const GRACE_SECONDS = 60;

/** This project, as `pulumi up` sets it up with its default settings, and these. */
export async function project(fleet: Fleet, more: Record<string, unknown> = {}): Promise<Contender> {
  const stack = await open(fleet, { stack: "fleet" });
  return {
    id: "project",
    title: "this project",
    ...stack,
    prepare: (tunnels) => stack.prepare({ ...gateOf(fleet), ...inside(fleet, tunnels), ...more }),
  };
}

/**
 * The same hosts in several stacks, as many at a time as `npm run stacks` does by default, and the public host in one more,
 * which manages it for them. Each host stays in its stack when others come.
 */
export async function projectInStacks(fleet: Fleet, count: number): Promise<Contender> {
  // A stack refers to another one of the same state.
  const directory = join(fleet.lab.directory, "stacks", `fleet-${count}`);
  const manager = await open(fleet, { stack: "public", directory });
  const names = Array.from({ length: count }, (_, index) => `sites-${index + 1}`);
  const sites = await Promise.all(names.map((stack) => open(fleet, { stack, directory })));
  const { privateKeyFile } = gateOf(fleet).publicHosts.gate.admin;
  const gate = { managedBy: "public", admin: { privateKeyFile } };
  const sumOf = async (parts: Part[], act: (part: Part) => Promise<number>) => {
    const all = await pMap(parts, act, { concurrency: defaultParallel, stopOnError: false });
    return all.reduce((sum, each) => sum + each, 0);
  };
  return {
    id: `stacks${count}`,
    title: `this project, ${count} stacks`,
    prepare: async (tunnels) => {
      await manager.prepare(gateOf(fleet));
      const of = (index: number) => tunnels.filter((_, place) => place % count === index);
      await Promise.all(
        sites.map((site, index) => site.prepare({ publicHosts: { gate }, ...inside(fleet, of(index)) })),
      );
    },
    // The sites read what this run has found out, and it cannot be removed before them.
    apply: async (limit) => (await manager.apply(limit)) + (await sumOf(sites, (part) => part.apply(limit))),
    preview: (limit) => sumOf([manager, ...sites], (part) => part.preview(limit)),
    remove: async (limit) =>
      (await sumOf(sites, (part) => part.remove(limit))) + (await manager.remove(limit)),
    state: async () => {
      const states = await Promise.all([manager, ...sites].map((part) => part.state()));
      const sum = (key: keyof State) => states.reduce((total, state) => total + state[key], 0);
      return { bytes: sum("bytes"), resources: sum("resources") };
    },
    doing: () => [manager, ...sites].map((part) => part.doing()).join("; "),
  };
}

/** One of the stacks. */
interface Part {
  prepare: (config: Record<string, unknown>) => Promise<void>;
  /** Like the next ones, returns the number of changes. */
  apply: (limitSeconds: number) => Promise<number>;
  preview: (limitSeconds: number) => Promise<number>;
  remove: (limitSeconds: number) => Promise<number>;
  state: () => Promise<State>;
  doing: () => string;
}

async function open(fleet: Fleet, which: { stack: string; directory?: string }): Promise<Part> {
  let done = 0;
  const stack = await openProgram(fleet.lab, { ...which, onStep: (step) => (done = step.done) });
  const changesOf = async (limitSeconds: number, operation: (signal: AbortSignal) => Promise<Result>) => {
    done = 0;
    const { changes } = await within(limitSeconds, operation);
    return Object.entries(changes).reduce((sum, [op, count]) => (op === "same" ? sum : sum + count), 0);
  };
  return {
    prepare: (config) => stack.setConfig(config),
    apply: (limit) => changesOf(limit, (signal) => stack.up(signal)),
    preview: (limit) => changesOf(limit, (signal) => stack.preview(signal)),
    remove: (limit) => changesOf(limit, (signal) => stack.destroy(signal)),
    state: () => stateOf(stack),
    doing: () => `${done} resources done`,
  };
}

const gateOf = ({ lab, gate }: Fleet) => ({ publicHosts: { gate: labAdmin(lab, gate) } });

function inside({ lab }: Fleet, tunnels: Tunnel[]): Record<string, unknown> {
  const internalHosts = tunnels.map(({ name, host, sshPort, webPort }) => [
    name,
    {
      ...labAdmin(lab, host),
      forwards: { ssh: { remotePort: sshPort, target: 22 }, web: { remotePort: webPort, target: 80 } },
      logins: [{ from: "root", to: "root" }],
    },
  ]);
  return { internalHosts: Object.fromEntries(internalHosts) as unknown };
}

/** The result of an operation; one that continues after its limit is cancelled, and abandoned if it does not stop. */
async function within<T>(limitSeconds: number, operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const signal = AbortSignal.timeout(limitSeconds * 1000);
  const late = () => new Error(`did not end within ${limitSeconds} s`);
  let timer: NodeJS.Timeout | undefined;
  const givenUp = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), (limitSeconds + GRACE_SECONDS) * 1000);
  });
  try {
    return await Promise.race([operation(signal), givenUp]);
  } catch (error) {
    throw signal.aborted ? late() : error;
  } finally {
    clearTimeout(timer);
  }
}
