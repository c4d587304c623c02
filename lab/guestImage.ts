import { chmod, copyFile, mkdir, readFile, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { exec, until } from "./exec.ts";
import { buildOnce, cachedImage, debianTree, hashOf } from "./image.ts";
import type { Progress } from "./image.ts";
import { accelerator } from "./kvm.ts";
import { saveMemory } from "./qmp.ts";
import { PACKAGES, SCRIPT } from "./root.ts";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const GUEST_SCRIPT = path("guestRoot.sh");
const IDENTITY = path("guestIdentity.sh");

/** A guest's hardware, as a program. */
export const GUEST = path("guest.sh");

/** In addition to what every host of the lab has: what is needed to boot, and to enforce SELinux. */
const GUEST_PACKAGES = ["linux-image-cloud-amd64", "selinux-basics", "auditd", "netbase"];

/** The size of the disk that gives a guest its identity. */
export const IDENTITY_BYTES = 1024 * 1024;

/** Labels the tree $0, in a separate mount namespace: setfiles finds files through /proc. */
const LABEL = `mount -t proc proc "$0/proc" &&
  exec chroot "$0" setfiles -m -F /etc/selinux/default/contexts/files/file_contexts /`;

/** The folder with a guest's disk, `disk.raw`, read-only, and its `vmlinuz` and `initrd`. */
export async function guestImage(onProgress: Progress): Promise<string> {
  const packages = [...PACKAGES, ...GUEST_PACKAGES];
  const scripts = [SCRIPT, GUEST_SCRIPT];
  const texts = await Promise.all([...scripts, IDENTITY].map((file) => readFile(file, "utf8")));
  return cachedImage(
    {
      what: "the Debian image of the guests",
      prefix: "guest-bookworm",
      text: JSON.stringify([packages, LABEL, texts]),
      build: async (target) => {
        await mkdir(target);
        const tree = join(target, "tree");
        await debianTree("bookworm", tree, packages, scripts);
        await copyFile(IDENTITY, join(tree, "usr/local/sbin/lab-identity"));
        await chmod(join(tree, "usr/local/sbin/lab-identity"), 0o755);
        for (const name of await readdir(join(tree, "boot"))) {
          const file = /^(vmlinuz|initrd)/.exec(name)?.[0];
          if (file) await copyFile(join(tree, "boot", name), join(target, file));
        }
        await exec("unshare", ["--mount", "sh", "-c", LABEL, tree], { timeoutSeconds: 120 });
        const disk = ["-q", "-t", "ext4", "-L", "lab", "-d", tree, join(target, "disk.raw"), "6G"];
        await exec("mke2fs", disk, { timeoutSeconds: 300 });
        await rm(tree, { recursive: true });
      },
    },
    onProgress,
  );
}

/**
 * A guest that has booted and waits for its identity, as its disk and its memory: every guest resumes from it, which
 * takes seconds. It works only with this exact QEMU. undefined if that is not possible; each guest then boots by
 * itself.
 */
export async function bootedGuest(image: string, onProgress: Progress): Promise<string | undefined> {
  const version = (await exec("qemu-system-x86_64", ["--version"])).stdout;
  const accel = await accelerator();
  const hash = hashOf(version + accel + (await readFile(GUEST, "utf8")));
  const folder = join(image, `booted-${hash}`);
  const build = (target: string) => bootAndSave(image, target, accel);
  return buildOnce(folder, { what: "the memory of a guest that has booted", build }, onProgress).then(
    () => folder,
    (error: unknown) => {
      onProgress(`Guests boot by themselves: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    },
  );
}

async function bootAndSave(image: string, target: string, accel: string): Promise<void> {
  await mkdir(target);
  await newDisk(join(target, "identity.img"));
  const log = join(target, "console.log");
  // The name of a socket must be short.
  const socket = join(tmpdir(), `srt-guest-${process.pid}`);
  // Tied to this process, and in a separate network namespace.
  const tied = ["--pdeathsig", "KILL", "unshare", "--net", "sh", GUEST];
  const machine = execa("setpriv", [...tied, "-qmp", `unix:${socket},server=on,wait=off`], {
    env: { HOST: "guest", LAB_FOLDER: target, IMAGE: image, ACCEL: accel, CGROUP: "", BOOTED: "" },
    stdio: ["ignore", { file: log }, { file: log }],
    reject: false,
  });
  let ended = false;
  machine.once("exit", () => (ended = true));
  const waits = async () => {
    const text = await readFile(log, "utf8").catch(() => "");
    if (ended) throw new Error(`The guest did not start: ${text.slice(-500)}`);
    return text.includes("lab: waiting for an identity");
  };
  try {
    await until("a guest to boot", 300, waits, 200);
    await saveMemory(socket, join(target, "memory"));
  } finally {
    machine.kill("SIGKILL");
    await machine;
    await rm(socket, { force: true });
  }
  await rm(join(target, "identity.img"));
}

/** Creates the disk that gives a guest its identity, empty. */
async function newDisk(file: string): Promise<void> {
  await writeFile(file, "");
  await truncate(file, IDENTITY_BYTES);
}
