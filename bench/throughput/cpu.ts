import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupPath } from "../../lab/cgroup.ts";
import type { Host } from "../../lab/host.ts";
import type { Lab } from "../../lab/lab.ts";
import type { Pair } from "../pair.ts";
import type { CpuTimes } from "./measure.ts";

/** How to read the CPU time of a pair's hosts. */
export function cpuTimesOf({ lab, gate, nas }: Pair): CpuTimes {
  return async () => ({ gate: await cpuSecondsOf(lab, gate), nas: await cpuSecondsOf(lab, nas) });
}

/** The CPU time of everything that has run on a host, in seconds. */
export async function cpuSecondsOf(lab: Lab, host: Host): Promise<number> {
  const text = await readFile(join(await cgroupPath(lab.name, host.name), "cpu.stat"), "utf8");
  return Number(/^usage_usec (\d+)/m.exec(text)?.[1]) / 1e6;
}
