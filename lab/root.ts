import { createHash } from "node:crypto";
import { access, mkdir, readFile, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { aptOptions, aptSources } from "./apt.ts";
import { exec } from "./exec.ts";
import { claimedLabs } from "./folder.ts";
import { takeLock } from "./lock.ts";

/** Receives one line for whatever takes longer than a moment. */
export type Progress = (line: string) => void;

/** The Debian releases that a host of the lab can have; the first is that of a host of which nothing is said. */
export const SUITES = ["bookworm", "trixie", "sid"] as const;
export type Suite = (typeof SUITES)[number];

/** That an image cannot be built: its release cannot be fetched from here, or cannot be installed today. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

/** What every host of the lab has installed. */
const PACKAGES = [
  ...["systemd", "systemd-sysv", "dbus", "libpam-systemd", "openssh-server", "sudo", "procps", "iproute2"],
  ...[
    "policycoreutils-python-utils",
    "selinux-policy-default",
    "firewalld",
    "ufw",
    "nftables",
    "python3",
    "busybox",
  ],
];

/** sid's policy cannot be installed, its server does not bring the client, and its awk is gawk, as RHEL's is. */
function packagesOf(suite: Suite): string[] {
  if (suite !== "sid") return PACKAGES;
  return [...PACKAGES.filter((name) => !/policy/.test(name)), "openssh-client", "gawk"];
}

const SCRIPT = fileURLToPath(new URL("root.sh", import.meta.url));
const PREFIX = "root-";
const UNFINISHED = "unfinished-root-";

/** Where images are kept: `$XDG_CACHE_HOME/ssh-reverse-tunnel`, by default under `~/.cache`. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ssh-reverse-tunnel");
}

/**
 * The Debian tree under the hosts of one release, built on first use and read-only ever after. Its name carries a hash of
 * the recipe, so a changed recipe builds a new one. Of sid it is how that was when the image was built.
 */
export async function rootImage(suite: Suite, onProgress: Progress): Promise<string> {
  const recipe = JSON.stringify(packagesOf(suite)) + (await readFile(SCRIPT, "utf8"));
  const hash = createHash("sha256").update(recipe).digest("hex").slice(0, 12);
  const image = join(cacheFolder(), `${PREFIX}${suite}-${hash}`);
  if (await exists(image)) return image;
  const busy = (pid: number) =>
    `Process ${pid} has been building an image of the lab for too long: end it first.`;
  const lock = await takeLock("image", busy, 900);
  try {
    if (!(await exists(image))) await build(suite, image, onProgress);
  } finally {
    await lock.release();
  }
  return image;
}

/** Deletes every cached image, and no other thing that the project keeps in the same folder. */
export async function cleanImages(): Promise<void> {
  const labs = await claimedLabs();
  if (labs.length > 0) throw new Error(`Running hosts need the images: first take down ${labs.join(", ")}.`);
  for (const name of await readdir(cacheFolder()).catch(() => [])) {
    if (name.startsWith(PREFIX) || name.startsWith(UNFINISHED)) await remove(name);
  }
}

async function build(suite: Suite, image: string, onProgress: Progress): Promise<void> {
  onProgress(`Building the Debian image of the hosts (${suite}), once, in a minute or two …`);
  await mkdir(cacheFolder(), { recursive: true, mode: 0o700 });
  const started = Date.now();
  for (const name of await readdir(cacheFolder())) {
    // A build that was interrupted; the lock says that none is under way.
    if (name.startsWith(UNFINISHED)) await remove(name);
  }
  const target = join(cacheFolder(), UNFINISHED + process.pid);
  const sources = await aptSources(suite);
  // In namespaces of its own, and tied to this process: were it killed, no mount and no dpkg would stay behind.
  const wrapper = ["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", "--pid", "--mount-proc"];
  const mmdebstrap = [
    ...[
      "mmdebstrap",
      "--quiet",
      "--mode=root",
      "--variant=minbase",
      `--include=${packagesOf(suite).join(",")}`,
    ],
    ...(await aptOptions()).map((option) => `--aptopt=${option}`),
    `--customize-hook=chroot "$1" /bin/sh -s <"$LAB_ROOT_SCRIPT"`,
    ...[suite, target, ...(sources ? ["-"] : [])],
  ];
  try {
    await exec("setpriv", [...wrapper, ...mmdebstrap], {
      input: sources,
      env: { LAB_ROOT_SCRIPT: SCRIPT },
      timeoutSeconds: 900,
    });
    await rename(target, image);
  } catch (error) {
    await rm(target, { recursive: true, force: true });
    const reason = error instanceof Error ? error.message : String(error);
    const look = 'see whether "apt-get update" works on this machine.';
    throw new ImageError(`Cannot build the image of ${suite}: ${look} ${reason}`, { cause: error });
  }
  onProgress(`Built the image in ${Math.round((Date.now() - started) / 1000)} s.`);
}

async function remove(name: string): Promise<void> {
  await rm(join(cacheFolder(), name), { recursive: true, force: true });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
