import { readFile, readdir } from "node:fs/promises";

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
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
    const stat = await read("stat");
    // The command's name, in parentheses, may contain spaces. After it come the state and the parent.
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    return { pid, parent, command: await read("cmdline") };
  });
  return Promise.all(found);
}
