import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./exec.ts";
import { statOf } from "./processStat.ts";

/** Where the lab keeps what is true only until this machine restarts: locks and claims. */
export const RUNTIME_FOLDER = "/run/ssh-reverse-tunnel-lab";

/** A lock that this process holds. */
export interface Lock {
  release(): Promise<void>;
}

/**
 * Takes a lock for the whole machine. The file contains its holder's process id and start time, so a lock whose holder
 * was killed is recognised and taken over.
 *
 * @param busy the error message while another live process holds the lock
 * @param waitSeconds how long to wait for that process first; by default only as long as a killed one takes to end
 */
export async function takeLock(name: string, busy: (pid: number) => string, waitSeconds = 1): Promise<Lock> {
  await mkdir(RUNTIME_FOLDER, { recursive: true });
  const path = join(RUNTIME_FOLDER, `${name}.lock`);
  const mine = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
  await writeFile(mine, `${process.pid} ${await startTime(process.pid)}\n`);
  let holder = 0;
  try {
    await until("a lock", waitSeconds, async () => {
      // link() is atomic and includes the content: nobody ever reads a half-written lock.
      if (await succeeds(link(mine, path))) return true;
      holder = await liveHolder(path, mine);
      return false;
    });
  } catch {
    throw new Error(busy(holder));
  } finally {
    await rm(mine, { force: true });
  }
  return { release: () => rm(path, { force: true }) };
}

/** The process that holds the lock; 0 if there is none any more, after removing what it left. */
async function liveHolder(path: string, mine: string): Promise<number> {
  const content = await readFile(path, "utf8").catch(() => "");
  const [pid = 0, started = 0] = content.split(" ").map(Number);
  if (pid && (await startTime(pid)) === started) return pid;
  // Rename before removing: if two processes find the same dead lock, only one gets it.
  await rename(path, `${mine}.stale`).catch(() => undefined);
  await rm(`${mine}.stale`, { force: true });
  return 0;
}

/** When a process started, in clock ticks since boot; 0 if it does not exist or has ended. */
async function startTime(pid: number): Promise<number> {
  const fields = await statOf(pid);
  return fields[0] === "Z" || fields[0] === "X" ? 0 : Number(fields[19] ?? 0);
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false,
  );
}
