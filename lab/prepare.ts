import { mkdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exec } from "./exec.ts";
import { IDENTITY_BYTES, bootedGuest, guestImage } from "./guestImage.ts";
import type { Progress } from "./image.ts";
import { inTurns } from "./inTurns.ts";
import { accelerator } from "./kvm.ts";
import type { Network } from "./network.ts";
import { SUITES, rootImage } from "./root.ts";
import type { Suite } from "./root.ts";

const PREPARE = fileURLToPath(new URL("prepare.sh", import.meta.url));
const IDENTITY = fileURLToPath(new URL("identity.sh", import.meta.url));

/** A host of a future lab, and its kind. A plain name means bookworm. */
export interface HostChoice {
  name: string;
  /** Its Debian release. Default "bookworm"; a guest has no other. */
  suite?: Suite;
  /** Packages that it has in addition to those of every host; it has an image of its own then. Not for a guest. */
  packages?: string[];
  /** Whether it has its own kernel, which enforces SELinux, in QEMU. Default false. */
  guest?: boolean;
}

/** How guests are run. */
export interface Qemu {
  /** See kvm.ts. */
  accel: string;
  /** The folder of a booted guest to resume from; empty if there is none. */
  booted: string;
}

/** What a host boots from. */
export interface Boots {
  name: string;
  image: string;
  /** Only for a guest. */
  qemu?: Qemu;
}

/** A host as it is stored in the lab's folder. */
export interface NotedHost extends Boots {
  hostKey: string;
}

/** Finds what these hosts boot from, and builds what does not exist yet. */
export async function findImages(choices: HostChoice[], onProgress: Progress): Promise<Boots[]> {
  const found: Boots[] = [];
  // One after the other: the second host of a kind uses what the first has built.
  for (const { name, suite = SUITES[0], packages = [], guest = false } of choices) {
    if (guest) {
      const image = await guestImage(onProgress);
      const booted = (await bootedGuest(image, onProgress)) ?? "";
      found.push({ name, image, qemu: { accel: await accelerator(), booted } });
    } else {
      found.push({ name, image: await rootImage(suite, onProgress, packages) });
    }
  }
  return found;
}

/** The host to prepare, and where. */
export interface Preparation {
  hosts: Boots[];
  network: Network;
  folderOf: (name: string) => string;
  /** The public key line of its accounts. */
  adminKey: string;
}

/** Creates what each host needs before its first boot: its identity, and where that is kept. */
export async function prepareHosts(preparation: Preparation): Promise<NotedHost[]> {
  return inTurns(preparation.hosts, 4, async (host) => {
    const key = await (host.qemu ? tellGuest : prepareDisk)(host, preparation);
    return { ...host, hostKey: key.split(" ").slice(0, 2).join(" ") };
  });
}

/** Writes the identity to a host's own disk; returns its public host key. */
async function prepareDisk({ name, image }: Boots, preparation: Preparation): Promise<string> {
  const { folderOf, adminKey } = preparation;
  const folder = folderOf(name);
  await mkdir(folder, { recursive: true });
  await exec("unshare", ["--mount", "--propagation", "private", "sh", PREPARE], {
    input: namesOf(preparation),
    env: { HOST: name, LAB_FOLDER: folder, IMAGE: image, ADMIN_KEY: adminKey },
  });
  return readFile(join(folder, "upper/etc/ssh/ssh_host_ed25519_key.pub"), "utf8");
}

/** Creates the disk with a guest's identity; returns its public host key. */
async function tellGuest(host: Boots, preparation: Preparation): Promise<string> {
  const { hosts, network, folderOf, adminKey } = preparation;
  const { name } = host;
  const number = hosts.indexOf(host) + 2;
  const tree = join(folderOf(name), "identity");
  await mkdir(join(tree, "etc"), { recursive: true });
  const [mac, address, address6] = [network.mac(number), network.address(number), network.address6(number)];
  await writeFile(join(tree, "etc/lab-network"), `MAC=${mac}\nADDRESS=${address}\nADDRESS6=${address6}\n`);
  await exec("sh", [IDENTITY], {
    input: namesOf(preparation),
    env: { HOST: name, TREE: tree, ADMIN_KEY: adminKey },
  });
  const disk = join(folderOf(name), "identity.img");
  await exec("tar", ["-C", tree, "-cf", disk, "."]);
  await truncate(disk, IDENTITY_BYTES);
  return readFile(join(tree, "etc/ssh/ssh_host_ed25519_key.pub"), "utf8");
}

/** The text of /etc/hosts. */
function namesOf({ hosts, network }: Preparation): string {
  const others = hosts.map(
    ({ name }, i) => `${network.address(i + 2)} ${name}\n${network.address6(i + 2)} ${name}`,
  );
  return ["127.0.0.1 localhost", "::1 localhost", ...others].join("\n") + "\n";
}
