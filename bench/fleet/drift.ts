import { keep, markdown, table } from "../document.ts";
import { median, worst } from "../statistics.ts";
import type { Contender } from "./contender.ts";
import type { Fleet } from "./fleet.ts";
import { project } from "./project.ts";

/** How many previews of each kind. */
const ROUNDS = 5;

/** The marker of its table in docs/benchmarks.md. */
const COMMAND = "bench/fleet/main.ts --drift";

/** Seconds with a number of internal hosts, next to the public host. */
export interface DriftCost {
  hosts: number;
  /** Of each preview with nothing to do: without `drift`, and with it. */
  plain: number[];
  looking: number[];
  /** Of the `up` that turns it on. */
  turnOn: number;
}

/** Measures what `drift: true` adds to a preview. */
export async function measureDrift(
  fleet: Fleet,
  limit: number,
  onProgress: (line: string) => void,
): Promise<DriftCost> {
  const take = async (what: string, act: () => Promise<number>): Promise<number> => {
    const started = performance.now();
    const changes = await act();
    const seconds = (performance.now() - started) / 1000;
    onProgress(`${fleet.size}, ${what}: ${seconds.toFixed(1)} s, ${changes} changes`);
    if (what.startsWith("preview") && changes > 0) throw new Error(`a ${what} has something to do`);
    return seconds;
  };
  const previews = async (what: string, contender: Contender): Promise<number[]> => {
    const seconds: number[] = [];
    while (seconds.length < ROUNDS) seconds.push(await take(what, () => contender.preview!(limit)));
    return seconds;
  };
  // One stack: a setting stays until another value replaces it.
  const [plain, looking] = [await project(fleet), await project(fleet, { drift: true })];
  await plain.prepare(fleet.tunnels());
  await take("first up", () => plain.apply(limit));
  const without = await previews("preview", plain);
  await looking.prepare(fleet.tunnels());
  const turnOn = await take("up that turns it on", () => looking.apply(limit));
  const cost = {
    hosts: fleet.size,
    plain: without,
    looking: await previews("preview with drift", looking),
    turnOn,
  };
  await take("removal", () => looking.remove(limit));
  return cost;
}

/** The lines of the table. */
export function driftTable(costs: DriftCost[]): string[] {
  const cell = (seconds: number[]) => `${inWords(median(seconds))} (${inWords(worst(seconds))})`;
  return table(
    ["internal hosts", "preview", "with `drift: true`", "it adds", "`up` that turns it on"],
    costs.map(({ hosts, plain, looking, turnOn }) => [
      ...[`${hosts}`, cell(plain), cell(looking)],
      ...[inWords(median(looking) - median(plain)), inWords(turnOn)],
    ]),
  );
}

/** Prints the table; stores it in docs/ if that is wanted. */
export async function reportDrift(measured: string, costs: DriftCost[], write: boolean): Promise<void> {
  const head = `${measured}. ${ROUNDS} previews of each kind with nothing to do, median (worst), in seconds.`;
  const text = await markdown([head, "", ...driftTable(costs)]);
  console.log(text);
  if (write) keep(COMMAND, text);
}

function inWords(seconds: number): string {
  return seconds.toFixed(seconds < 10 ? 1 : 0);
}
