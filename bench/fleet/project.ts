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
export async function project(
  fleet: Fleet,
  more: Record<string, unknown> = {},
  name = "fleet",
): Promise<Contender> {
  let done = 0;
  const stack = await openProgram(fleet.lab, { stack: name, onStep: (step) => (done = step.done) });
  const changesOf = async (limitSeconds: number, operation: (signal: AbortSignal) => Promise<Result>) => {
    done = 0;
    const { changes } = await within(limitSeconds, operation);
    return Object.entries(changes).reduce((sum, [op, count]) => (op === "same" ? sum : sum + count), 0);
  };
  return {
    id: "project",
    title: "this project",
    prepare: (tunnels) => stack.setConfig({ ...settings(fleet, tunnels), ...more }),
    apply: (limit) => changesOf(limit, (signal) => stack.up(signal)),
    preview: (limit) => changesOf(limit, (signal) => stack.preview(signal)),
    remove: (limit) => changesOf(limit, (signal) => stack.destroy(signal)),
    state: () => stateOf(stack),
    doing: () => `${done} resources done`,
  };
}

/**
 * The same hosts in several stacks, as many at a time as `npm run stacks` does by default. Each host stays in its stack when
 * others come.
 */
export async function projectInStacks(fleet: Fleet, count: number): Promise<Contender> {
  const parts = await Promise.all(
    Array.from({ length: count }, (_, index) => project(fleet, {}, `fleet-${index + 1}`)),
  );
  const sumOf = async (act: (part: Contender) => Promise<number>) => {
    const all = await pMap(parts, act, { concurrency: defaultParallel, stopOnError: false });
    return all.reduce((sum, each) => sum + each, 0);
  };
  return {
    id: `stacks${count}`,
    title: `this project, ${count} stacks`,
    prepare: async (tunnels) => {
      const of = (index: number) => tunnels.filter((_, place) => place % count === index);
      await Promise.all(parts.map((part, index) => part.prepare(of(index))));
    },
    apply: (limit) => sumOf((part) => part.apply(limit)),
    preview: (limit) => sumOf((part) => part.preview!(limit)),
    remove: (limit) => sumOf((part) => part.remove(limit)),
    state: async () => {
      const states = await Promise.all(parts.map((part) => part.state!()));
      const sum = (key: keyof State) => states.reduce((total, state) => total + state[key], 0);
      return { bytes: sum("bytes"), resources: sum("resources") };
    },
    doing: () => parts.map((part) => part.doing()).join("; "),
  };
}

function settings({ lab, gate }: Fleet, tunnels: Tunnel[]): Record<string, unknown> {
  const internalHosts = tunnels.map(({ name, host, sshPort, webPort }) => [
    name,
    {
      ...labAdmin(lab, host),
      forwards: { ssh: { remotePort: sshPort, target: 22 }, web: { remotePort: webPort, target: 80 } },
      logins: [{ from: "root", to: "root" }],
    },
  ]);
  return {
    publicHosts: { gate: labAdmin(lab, gate) },
    internalHosts: Object.fromEntries(internalHosts) as unknown,
  };
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
