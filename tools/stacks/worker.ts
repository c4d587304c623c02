/** The process that does the work of `npm run stacks`, in a session of its own: see ../stacks.ts, which starts it. */
import { runStacks } from "./run.ts";
import { exitStatusOf, summaryOf } from "./result.ts";
import { sentenceOf } from "./operations.ts";
import type { Task } from "./task.ts";

const task = JSON.parse(process.argv[2]!) as Task;
const { operation, json } = task;
// Standard output is for the result.
const say = (line: string) => (json ? console.error(line) : console.log(line));

const interrupted = new AbortController();
let isDone = false;
const interrupt = () => {
  if (isDone) return;
  if (interrupted.signal.aborted) {
    say("ending what is running at once");
    // The CLIs are in this process's group. Their providers are not: they end with them.
    process.kill(-process.pid, "SIGINT");
  } else {
    say("no other stack begins, and those that are running end; once more ends them at once");
    interrupted.abort();
  }
};
process.on("SIGINT", () => undefined);
// The terminal has been closed, or nobody reads any more: the stacks still end as they should.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
process.on("message", interrupt);
// Whoever started it has died.
process.on("disconnect", interrupt);
if (!process.connected) interrupt();

try {
  const results = await runStacks({ ...task, say, signal: interrupted.signal });
  const repeated = operation === "up" ? ["--yes"] : [];
  for (const line of ["", ...summaryOf(operation, results, repeated)]) say(line);
  if (json) {
    const stacks = results.map(({ details: _, ...result }) => result);
    console.log(JSON.stringify({ operation, stacks }, undefined, 2));
  }
  process.exitCode = exitStatusOf(results);
} catch (error) {
  console.error(`stacks: ${sentenceOf(error, "")}`);
  process.exitCode = 2;
}
isDone = true;
if (process.connected) process.disconnect();
