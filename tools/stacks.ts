/** The same operation on many stacks of a folder: `npm run stacks`. docs/environments.md has more. */
import { fork } from "node:child_process";
import { once } from "node:events";
import type { Task } from "./stacks/task.ts";
import { taskOf } from "./stacks/task.ts";

/** npm passes a signal on that the terminal has sent to every process: within this time, it is the same. */
const sameSignalMs = 1000;

/**
 * The work is done in a session of its own: else Ctrl-C would reach each CLI directly and once more from us, and the
 * second one makes it abandon what it is doing.
 */
async function supervise(task: Task): Promise<number> {
  const worker = fork(new URL("stacks/worker.ts", import.meta.url), [JSON.stringify(task)], {
    cwd: task.folder,
    detached: true,
    execArgv: ["--import", import.meta.resolve("tsx")],
  });
  let last = -Infinity;
  const passOn = () => {
    if (performance.now() - last < sameSignalMs) return;
    last = performance.now();
    if (worker.connected) worker.send("interrupt");
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, passOn);
  const [code] = (await once(worker, "exit")) as [number | null];
  return code ?? 2;
}

try {
  const task = taskOf(process.argv.slice(2));
  if (typeof task === "string") console.log(task);
  else process.exitCode = await supervise(task);
} catch (error) {
  console.error(`stacks: ${(error as Error).message}`);
  process.exitCode = 2;
}
