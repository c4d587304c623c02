import { setTimeout as sleep } from "node:timers/promises";
import { ask } from "../client.ts";
import { cpuTicks } from "../machine.ts";
import type { Pair } from "../pair.ts";
import type { Tool } from "../tools/tool.ts";
import type { Agenda } from "./agenda.ts";
import type { Ended, Fault } from "./faults.ts";
import { type Target, keepTrying, secondsToAnswer } from "./probe.ts";

/** Who connects during a fault: a client that tries every 2 s, or nobody until it has ended. */
export type Client = "retrying" | "nobody";

/** The result of one fault. */
export interface Trial {
  fault: string;
  client: Client;
  /** Counted from 1. */
  number: number;
  /** By tool: seconds until an answer came, or null if none came within the limit. */
  seconds: Record<string, number | null>;
  limitSeconds: number;
  /** The idle share of the CPUs while the hosts were busy with the fault's end. */
  idleCpu: number;
  /** When the fault had ended. */
  at: string;
}

/** The arguments of a trial. */
export interface Setting {
  pair: Pair;
  tools: Tool[];
  fault: Fault;
  client: Client;
  number: number;
  limitSeconds: number;
  agenda: Agenda;
}

/** Seconds that all seven tools take to restart, one after the other. */
const CLEAN_SECONDS = 7;
/**
 * autossh exits permanently if its first connection ends within 30 s of its start; in a cut, it does not end that
 * early.
 */
const SETTLED_SECONDS = 36;

/** Brings every tool to a clean working state, causes the fault, and waits until each answers or the limit is over. */
export async function runTrial(setting: Setting): Promise<Trial> {
  const { pair, tools, fault, client, number, limitSeconds, agenda } = setting;
  await turn(agenda, 0, CLEAN_SECONDS);
  await clean(pair, tools);
  const settled = Math.max(2, SETTLED_SECONDS - fault.seconds);
  await sleep(settled * 1000);
  await pair.pinNeighbours();
  await assertAllAnswer(pair, tools);
  // The rest of these requests must have been sent: an unused tunnel sends nothing.
  await sleep(1000);
  await turn(agenda, fault.seconds - 0.5, fault.busySeconds + 0.5);

  const load = client === "retrying" ? keepTrying(tools.flatMap((tool) => targetsOf(pair, tool))) : undefined;
  const measured = new Map<Tool, Promise<number | undefined>>();
  let at = "";
  let idle = Promise.resolve(NaN);
  const ended: Ended = (ofTool, since = performance.now()) => {
    if (!at) idle = idleShare(fault.busySeconds);
    at ||= new Date().toISOString();
    for (const tool of ofTool ? [ofTool] : tools) {
      measured.set(tool, secondsToAnswer(targetsOf(pair, tool), limitSeconds, since));
    }
  };
  try {
    await fault.make(pair, tools, ended);
    const seconds: Trial["seconds"] = {};
    for (const tool of tools) seconds[tool.id] = (await measured.get(tool)) ?? null;
    return { fault: fault.id, client, number, seconds, limitSeconds, idleCpu: await idle, at };
  } finally {
    load?.stop();
    await fault.undo?.(pair);
  }
}

/** Where a client asks. */
function targetsOf({ gate, spare }: Pair, { port, usesSpare }: Tool): Target[] {
  const hosts = [gate, ...(usesSpare && spare ? [spare] : [])];
  return hosts.map(({ address }) => ({ host: address, port }));
}

/** Waits for an interval that no other pair uses. */
async function turn(agenda: Agenda, after: number, length: number): Promise<void> {
  const now = performance.now() / 1000;
  await sleep((agenda.reserve(now, after, length) - now) * 1000);
}

/** Ends every tool's connection and restarts it, one tool after the other. */
async function clean(pair: Pair, tools: Tool[]): Promise<void> {
  const { gate, nas } = pair;
  const clients = tools.map((tool) => tool.client.unit(pair));
  await nas.run(`systemctl stop ${clients.join(" ")}; systemctl reset-failed`);
  const servers = tools.flatMap(({ server }) => server ?? []);
  await gate.run(
    `pkill -KILL -x sshd -u tunnel,tunnel-${nas.name}
    systemctl reset-failed
    ${servers.length > 0 ? `systemctl restart ${servers.join(" ")}` : ""}`,
  );
  for (const tool of tools) {
    await nas.run(`systemctl start ${tool.client.unit(pair)}`);
    await pair.answers(tool.port, 30);
  }
}

async function assertAllAnswer(pair: Pair, tools: Tool[]): Promise<void> {
  for (const { title, port, client } of tools) {
    try {
      await ask(pair.gate.address, port, AbortSignal.timeout(2000));
    } catch (error) {
      const journal = await pair.nas.run(`journalctl -q -n 20 -u ${client.unit(pair)}`);
      throw new Error(
        `${title} does not work on ${pair.nas.name}, before there is any fault. It said:\n${journal.stdout}`,
        { cause: error },
      );
    }
  }
}

async function idleShare(seconds: number): Promise<number> {
  const before = cpuTicks();
  await sleep(seconds * 1000);
  const after = cpuTicks();
  return (after.idle - before.idle) / (after.total - before.total);
}
