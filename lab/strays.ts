import { readFile, readdir } from "node:fs/promises";
import { until } from "./exec.ts";

/**
 * Kills processes of a lab that are not in its control group: those started on a folder inside the lab's. No other
 * process is affected.
 */
export async function killStrays(directory: string): Promise<void> {
  await until(`the strays of ${directory} to end`, 20, async () => {
    let found = false;
    for (const pid of await readdir("/proc")) {
      if (!/^\d+$/.test(pid) || !(await belongsTo(pid, directory))) continue;
      found = true;
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It ended by itself in the meantime.
      }
    }
    return !found;
  });
}

/** machine.sh has its host's folder in its environment, and systemd-nspawn in its arguments as well. */
async function belongsTo(pid: string, directory: string): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "");
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return (
    environment.split("\0").some((pair) => pair.startsWith(`LAB_FOLDER=${directory}/`)) ||
    command.split("\0").some((argument) => argument.startsWith(`--directory=${directory}/`))
  );
}
