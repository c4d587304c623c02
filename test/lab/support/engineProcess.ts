import { readFile, readdir } from "node:fs/promises";
import { statOf } from "../../../lab/processStat.ts";

/** Kills the engine that works on this stack for this process, and all that it has started, as a runner dies. */
export async function killEngine(stack: string): Promise<void> {
  const all = await processes();
  const engine = all.find(
    ({ parent, command }) =>
      parent === process.pid &&
      /(^|\/)pulumi\0up\0/.test(command) &&
      command.includes(`\0--stack\0${stack}\0`),
  );
  if (engine === undefined) throw new Error(`no pulumi up of the stack ${stack} is running`);
  const doomed = [engine.pid];
  for (const pid of doomed) doomed.push(...all.filter(({ parent }) => parent === pid).map(({ pid }) => pid));
  for (const pid of doomed) process.kill(pid, "SIGKILL");
}

interface Process {
  pid: number;
  parent: number;
  /** Its arguments, each ended by a zero byte. */
  command: string;
}

async function processes(): Promise<Process[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = pids.map(async (pid) => {
    const [, parent] = await statOf(pid);
    const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    return { pid, parent: Number(parent), command };
  });
  return Promise.all(found);
}
