import { access, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupPath, killCgroup, removeCgroup } from "./cgroup.ts";
import { exec } from "./exec.ts";
import { checkNames, claim, createFolder, labFolder, removeFolder, unclaim } from "./folder.ts";
import { Guest } from "./guest.ts";
import { Host } from "./host.ts";
import type { Progress } from "./image.ts";
import { inTurns } from "./inTurns.ts";
import { takeLock } from "./lock.ts";
import type { Lock } from "./lock.ts";
import { raiseInotifyLimit, requireRoot, requireTools } from "./machine.ts";
import { Network, freeSubnet, networkName } from "./network.ts";
import { findImages, prepareHosts } from "./prepare.ts";
import type { Boots, HostChoice, NotedHost } from "./prepare.ts";
import { writeSshFiles } from "./sshFiles.ts";
import { killStrays } from "./strays.ts";

/** Which lab to bring up. */
export interface LabOptions {
  /** Its name; labs of different names run side by side. Default "default". */
  name?: string;
  /** Its hosts, such as ["gate", { name: "nas", suite: "trixie" }]. They get the addresses .2, .3 and so on. */
  hosts: (string | HostChoice)[];
  /** Receives one line for everything that takes longer than a moment. */
  onProgress?: Progress;
}

/** A boot has a time limit, which no host would meet if a hundred booted at once. */
const BOOTS_AT_ONCE = 10;

/** What a lab writes to its folder for later processes. */
interface Note {
  subnet: number;
  hosts: NotedHost[];
}

/** A named set of real hosts on their own network. They outlive the process that brought them up. */
export class Lab {
  /** The lab's folder, `.lab/<name>` in the project. */
  public readonly directory: string;
  /** The private key of root, admin and alice on every host. */
  public readonly adminKeyFile: string;
  /** The host keys of all hosts, by name and by address. */
  public readonly knownHostsFile: string;
  /** For `ssh -F <this file> <host>`. */
  public readonly sshConfigFile: string;
  private readonly hosts = new Map<string, Host>();

  private constructor(public readonly name: string) {
    this.directory = labFolder(name);
    this.adminKeyFile = join(this.directory, "admin_key");
    this.knownHostsFile = join(this.directory, "known_hosts");
    this.sshConfigFile = join(this.directory, "ssh_config");
  }

  /** Removes what an earlier lab of that name left, boots the hosts, and waits until each answers over ssh. */
  public static async up(options: LabOptions): Promise<Lab> {
    const { name = "default", onProgress = () => undefined } = options;
    const choices = options.hosts.map((host) => (typeof host === "string" ? { name: host } : host));
    checkNames(
      name,
      choices.map((choice) => choice.name),
    );
    requireRoot();
    return withLock(name, async () => {
      await requireTools(
        onProgress,
        choices.some((choice) => choice.guest),
      );
      await raiseInotifyLimit();
      const hosts = await findImages(choices, onProgress);
      await claim(name);
      await clear(name);
      const lab = new Lab(name);
      try {
        await lab.start(hosts, onProgress);
      } catch (error) {
        await clear(name);
        await unclaim(name);
        throw error;
      }
      return lab;
    });
  }

  /** Attaches to a lab that another process brought up. */
  public static async open(name = "default"): Promise<Lab> {
    checkNames(name, ["any"]);
    requireRoot();
    const lab = new Lab(name);
    const note = await readFile(join(lab.directory, "lab.json"), "utf8").catch(() => undefined);
    const network = await access(`/run/netns/${networkName(name)}`).catch(() => "none");
    // After a restart of this machine, the file is still there but the network is not.
    if (!note || network === "none") {
      throw new Error(
        `The lab "${name}" is not up: npm run lab -- up${name === "default" ? "" : ` --name ${name}`}`,
      );
    }
    await lab.fill(JSON.parse(note) as Note);
    return lab;
  }

  /** Ends the lab of that name, or removes what is left of it if it cannot be opened. */
  public static async clear(name = "default"): Promise<void> {
    checkNames(name, ["any"]);
    requireRoot();
    await withLock(name, async () => {
      await claim(name);
      await clear(name);
      await unclaim(name);
    });
  }

  /** The names of its hosts, in order of their addresses. */
  public get hostNames(): string[] {
    return [...this.hosts.keys()];
  }

  /** One of its hosts. */
  public host(name: string): Host {
    const host = this.hosts.get(name);
    if (host) return host;
    throw new Error(
      `There is no host "${name}" in the lab "${this.name}": it has ${this.hostNames.join(", ")}.`,
    );
  }

  /** Ends the lab and leaves nothing of it: no process, mount, namespace, link or file. */
  public async down(): Promise<void> {
    await Lab.clear(this.name);
  }

  private async start(boots: Boots[], onProgress: Progress): Promise<void> {
    onProgress(`Booting ${boots.map(({ name }) => name).join(", ")} …`);
    await createFolder(this.name);
    await exec("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", this.adminKeyFile]);
    const network = await createNetwork(this.name);
    const adminKey = (await readFile(`${this.adminKeyFile}.pub`, "utf8")).trim();
    const folderOf = (name: string) => this.hostFolder(name);
    const hosts = await prepareHosts({ hosts: boots, network, folderOf, adminKey });
    const note: Note = { subnet: network.subnet, hosts };
    await this.fill(note);
    const all = [...this.hosts.values()];
    await writeSshFiles(this, all);
    // Waits for every boot that has begun, even if one fails: a host that is still starting cannot be removed.
    await inTurns(all, BOOTS_AT_ONCE, (host) => host.firstBoot());
    await writeFile(join(this.directory, "lab.json"), JSON.stringify(note, undefined, 2) + "\n");
  }

  private async fill(note: Note): Promise<void> {
    const network = new Network(this.name, note.subnet);
    const { sshConfigFile } = this;
    for (const [index, { qemu, ...noted }] of note.hosts.entries()) {
      const cgroup = await cgroupPath(this.name, noted.name);
      const folder = this.hostFolder(noted.name);
      const setting = { ...noted, number: index + 2, network, folder, cgroup, sshConfigFile };
      this.hosts.set(noted.name, qemu ? new Guest({ ...setting, ...qemu }) : new Host(setting));
    }
  }

  private hostFolder(name: string): string {
    return join(this.directory, "hosts", name);
  }
}

/** Runs an action that no other process may run on the same lab at the same time. */
async function withLock<T>(name: string, action: () => Promise<T>): Promise<T> {
  const busy = (pid: number) =>
    `Process ${pid} is bringing the lab "${name}" up or down: wait for it to end.`;
  const lock: Lock = await takeLock(`lab-${name}`, busy);
  try {
    return await action();
  } finally {
    await lock.release();
  }
}

/** Two labs that start at the same time must not choose the same addresses. */
async function createNetwork(lab: string): Promise<Network> {
  const lock = await takeLock(
    "subnets",
    (pid) => `Process ${pid} has been choosing addresses for too long.`,
    30,
  );
  try {
    const network = new Network(lab, await freeSubnet(lab === "default"));
    await network.create();
    return network;
  } finally {
    await lock.release();
  }
}

/** Removes everything of a lab, whatever state it is in. */
async function clear(name: string): Promise<void> {
  const cgroup = await cgroupPath(name);
  await killCgroup(cgroup);
  await killStrays(labFolder(name));
  await removeCgroup(cgroup);
  await new Network(name, 0).remove();
  await removeFolder(name);
}
