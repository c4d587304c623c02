import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupPath, isPopulated, processesIn } from "../../lab/cgroup.ts";
import { until } from "../../lab/exec.ts";
import { cpuSecondsOf } from "../throughput/cpu.ts";
import type { Fleet } from "./fleet.ts";

/**
 * Waits until root's last session on the public host is gone, with what systemd starts for an account with a session.
 */
export async function rootIsGone({ lab, gate }: Fleet): Promise<void> {
  const root = join(await cgroupPath(lab.name, gate.name), "machine/payload/user.slice/user-0.slice");
  await until(`root's sessions on ${gate.name} to end`, 120, async () => !(await isPopulated(root)), 200);
}

/** The share of one CPU that the public host uses during this many seconds. */
export async function idleCpu({ lab, gate }: Fleet, seconds: number): Promise<number> {
  const before = [performance.now() / 1000, await cpuSecondsOf(lab, gate)] as const;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const after = [performance.now() / 1000, await cpuSecondsOf(lab, gate)] as const;
  return (after[1] - before[1]) / (after[0] - before[0]);
}

/** The memory in MB of all processes on the public host: their own, and their part of shared memory (PSS). */
export async function memoryOfGate({ lab, gate }: Fleet): Promise<number> {
  let kilobytes = 0;
  for (const pid of await processesIn(await cgroupPath(lab.name, gate.name))) {
    // It may have ended in the meantime.
    const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    kilobytes += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }
  return kilobytes / 1000;
}
