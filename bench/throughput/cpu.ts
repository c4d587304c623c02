import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupPath } from "../../lab/cgroup.ts";
import type { Host } from "../../lab/host.ts";
import type { Pair } from "../pair.ts";
import type { CpuTimes } from "./measure.ts";

/** How to ask for the CPU time of a pair's hosts: of all that runs there. */
export function cpuTimesOf({ lab, gate, nas }: Pair): CpuTimes {
  const seconds = async (host: Host) => {
    const text = await readFile(join(await cgroupPath(lab.name, host.name), "cpu.stat"), "utf8");
    return Number(/^usage_usec (\d+)/m.exec(text)?.[1]) / 1e6;
  };
  return async () => ({ gate: await seconds(gate), nas: await seconds(nas) });
}
