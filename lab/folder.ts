import { mkdir, readFile, readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cgroupPath, isPopulated } from "./cgroup.ts";
import { RUNTIME_FOLDER } from "./lock.ts";

const CLAIM = ".folder";
const LABS = fileURLToPath(new URL("../.lab", import.meta.url));

/** The folder of one lab. */
export function labFolder(name: string): string {
  return join(LABS, name);
}

/** Throws unless these names can become file, link and host names. */
export function checkNames(lab: string, hosts: string[]): void {
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(lab)) {
    throw new Error(`"${lab}" cannot be a lab's name: use up to 31 lower-case letters, digits and hyphens.`);
  }
  for (const host of hosts) {
    if (!/^[a-z][a-z0-9-]{0,11}$/.test(host) || host === "localhost") {
      throw new Error(
        `"${host}" cannot be a host's name: use up to 12 lower-case letters, digits and hyphens.`,
      );
    }
  }
  if (hosts.length === 0) throw new Error('A lab needs a host at least, such as "gate".');
  if (hosts.length > 200) throw new Error("A lab has room for 200 hosts.");
  if (new Set(hosts).size < hosts.length)
    throw new Error(`Two hosts have the same name: ${hosts.join(", ")}.`);
}

/** Creates the folder of a lab, empty, and keeps it out of version control. */
export async function createFolder(name: string): Promise<void> {
  await mkdir(labFolder(name), { recursive: true, mode: 0o700 });
  await writeFile(join(LABS, ".gitignore"), "*\n");
}

/** Removes the folder of a lab, and the one above it with the last lab. */
export async function removeFolder(name: string): Promise<void> {
  await rm(labFolder(name), { recursive: true, force: true });
  const others = await readdir(LABS).catch(() => []);
  if (others.some((other) => other !== ".gitignore")) return;
  await rm(join(LABS, ".gitignore"), { force: true });
  await rmdir(LABS).catch(() => undefined);
}

/**
 * Claims the lab of that name for this project folder. Links and control groups depend only on the lab's name, so two
 * copies of the project must not both use it. What another copy left when its processes were killed is taken over,
 * since nothing of it runs any more.
 */
export async function claim(name: string): Promise<void> {
  const path = claimFile(name);
  const holder = await readFile(path, "utf8").catch(() => labFolder(name));
  if (holder !== labFolder(name)) {
    if (await isPopulated(await cgroupPath(name))) {
      throw new Error(
        `A lab "${name}" runs from ${dirname(dirname(holder))}: take it down there, or use --name.`,
      );
    }
    // Otherwise that copy would treat ours as its own.
    await rm(holder, { recursive: true, force: true });
  }
  await mkdir(RUNTIME_FOLDER, { recursive: true });
  await writeFile(path, labFolder(name));
}

/** Ends `claim`. */
export async function unclaim(name: string): Promise<void> {
  await rm(claimFile(name), { force: true });
}

/** The names of the labs that are up, or were up when their process died. */
export async function claimedLabs(): Promise<string[]> {
  const files = await readdir(RUNTIME_FOLDER).catch(() => []);
  return files.filter((file) => file.endsWith(CLAIM)).map((file) => file.slice(0, -CLAIM.length));
}

function claimFile(name: string): string {
  return join(RUNTIME_FOLDER, name + CLAIM);
}
