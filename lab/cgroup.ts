import { mkdir, readFile, readdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./exec.ts";

const FOLDER = "/ssh-reverse-tunnel-lab";

/** The control group of one lab, or of one of its hosts: the list of everything that runs there. */
export async function cgroupPath(lab: string, host = ""): Promise<string> {
  const [mount] = await mounts("cgroup2");
  if (!mount) throw new Error("The lab needs control groups v2: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  return join(mount + FOLDER, lab, host);
}

/** The control group of a process. */
export async function cgroupOf(pid: number): Promise<string> {
  const [mount = ""] = await mounts("cgroup2");
  const groups = await readFile(`/proc/${pid}/cgroup`, "utf8");
  return join(mount, /^0::(.*)$/m.exec(groups)?.[1] ?? "");
}

/** Creates a host's group: `power` for what watches the host, `machine` for the host itself. */
export async function createCgroup(path: string): Promise<void> {
  await mkdir(join(path, "power"), { recursive: true });
  await mkdir(join(path, "machine"), { recursive: true });
}

/** Kills everything in a group and below it, all at once, and waits until nothing is left. */
export async function killCgroup(path: string): Promise<void> {
  const present = await readFile(join(path, "cgroup.events"), "utf8").catch(() => undefined);
  if (present === undefined) return;
  await writeFile(join(path, "cgroup.kill"), "1").catch(() => {
    throw new Error("The lab needs Linux 5.14 or later, which can kill a control group at once.");
  });
  await until(`the processes in ${path} to end`, 20, async () => !(await isPopulated(path)), 5);
}

/** Removes a group whose processes have ended, and the groups below it. */
export async function removeCgroup(path: string): Promise<void> {
  const relative = path.slice(path.indexOf(FOLDER));
  // If this machine also has cgroups v1, systemd-nspawn creates the same folders there.
  for (const mount of [...(await mounts("cgroup2")), ...(await mounts("cgroup"))]) {
    await removeTree(mount + relative);
    // All labs share the group above, which is removed with the last one.
    await rmdir(mount + FOLDER).catch(() => undefined);
  }
}

async function removeTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await removeTree(join(path, entry.name));
  }
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
}

async function mounts(type: "cgroup" | "cgroup2"): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.filter((line) => line.includes(` - ${type} `)).map((line) => line.split(" ")[4] ?? "");
}

/** Whether any process is in a group or below it. */
export async function isPopulated(path: string): Promise<boolean> {
  const events = await readFile(join(path, "cgroup.events"), "utf8").catch(() => "");
  return /^populated 1$/m.test(events);
}

/** Every process in a group and below it. */
export async function processesIn(path: string): Promise<number[]> {
  const own = await readFile(join(path, "cgroup.procs"), "utf8").catch(() => "");
  const pids = own.split("\n").filter(Boolean).map(Number);
  for (const entry of await readdir(path, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) pids.push(...(await processesIn(join(path, entry.name))));
  }
  return pids;
}
