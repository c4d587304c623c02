import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupOf, processesIn } from "./cgroup.ts";
import { exec } from "./exec.ts";
import type { Result } from "./exec.ts";

/** How `Host.run` runs a command. */
export interface RunOptions {
  /** Standard input; empty by default. */
  input?: string;
  /** Return a failed command instead of throwing. */
  allowFailure?: boolean;
  /** The limit: a command that takes longer is killed and reported. Default 120 s. */
  timeoutSeconds?: number;
}

/** The process on this machine that is PID 1 of the host with this control group, while the host is on. */
export async function initOf(cgroup: string): Promise<number | undefined> {
  for (const pid of await processesIn(join(cgroup, "machine", "payload"))) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (/^NSpid:.*\t1$/m.test(status)) return pid;
  }
  return undefined;
}

/**
 * Runs a shell command as root in the namespaces of a host's PID 1 and in its control group, so that it ends with the
 * host.
 */
export async function runInside(init: number, command: string, options: RunOptions): Promise<Result> {
  const spaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd"];
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const clean = ["env", "-i", "--chdir=/root", path, "HOME=/root", "USER=root", "LANG=C.UTF-8"];
  const enter = ["nsenter", `--target=${init}`, ...spaces, ...clean, "/bin/sh", "-c", command];
  const procs = join(await cgroupOf(init), "cgroup.procs");
  return exec("sh", ["-c", 'echo $$ >"$0" && exec "$@"', procs, ...enter], {
    input: options.input,
    allowFailure: true,
    timeoutSeconds: options.timeoutSeconds ?? 120,
  });
}
