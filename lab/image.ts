import { createHash } from "node:crypto";
import { access, mkdir, readdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { shellQuote } from "../components/remote/shellQuote.ts";
import { aptOptions, aptSources } from "./apt.ts";
import { exec } from "./exec.ts";
import { claimedLabs } from "./folder.ts";
import { takeLock } from "./lock.ts";

/** Receives one line for everything that takes longer than a moment. */
export type Progress = (line: string) => void;

/** What an image is built from. */
export interface Recipe {
  /** What the image is for, for the progress line. */
  what: string;
  /** The beginning of its name in the cache. */
  prefix: string;
  /** Everything that it depends on: a changed text means a new image. */
  text: string;
  /** Creates it, in a folder that does not exist yet. */
  build: (target: string) => Promise<void>;
}

const UNFINISHED = "unfinished-";
const PREFIXES = ["root-", "guest-", UNFINISHED];

/** Where images are kept: `$XDG_CACHE_HOME/ssh-reverse-tunnel`, by default under `~/.cache`. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "ssh-reverse-tunnel");
}

/** A short hash of a text. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}

/**
 * The folder of an image, built on first use and never changed again. Its name contains a hash of the recipe, so a
 * changed recipe builds a new one.
 */
export async function cachedImage(recipe: Recipe, onProgress: Progress): Promise<string> {
  const image = join(cacheFolder(), `${recipe.prefix}-${hashOf(recipe.text)}`);
  await buildOnce(image, recipe, onProgress);
  return image;
}

/** Creates a folder atomically if it does not exist. */
export async function buildOnce(
  folder: string,
  { what, build }: Pick<Recipe, "what" | "build">,
  onProgress: Progress,
): Promise<void> {
  if (await exists(folder)) return;
  const busy = (pid: number) =>
    `Process ${pid} has been building the lab's image for too long: end it first.`;
  const lock = await takeLock("image", busy, 900);
  try {
    if (await exists(folder)) return;
    onProgress(`Building ${what}, once …`);
    await mkdir(cacheFolder(), { recursive: true, mode: 0o700 });
    const started = Date.now();
    // An interrupted build; the lock proves that none is running.
    for (const name of await readdir(cacheFolder())) if (name.startsWith(UNFINISHED)) await remove(name);
    const target = join(cacheFolder(), UNFINISHED + process.pid);
    try {
      await build(target);
      await rename(target, folder);
    } finally {
      await rm(target, { recursive: true, force: true });
    }
    onProgress(`Built ${what} in ${Math.round((Date.now() - started) / 1000)} s.`);
  } finally {
    await lock.release();
  }
}

/** An image cannot be built: its release cannot be downloaded from here, or cannot be installed today. */
export class ImageError extends Error {
  override readonly name = "ImageError";
}

/** Creates a tree of a Debian release with these packages; the scripts run inside it, in order, at the end. */
export async function debianTree(
  suite: string,
  target: string,
  packages: string[],
  scripts: string[],
): Promise<void> {
  const sources = await aptSources(suite);
  // In its own namespaces, and tied to this process: if it is killed, no mount and no dpkg stays behind.
  const wrapper = ["--pdeathsig", "KILL", "unshare", "--fork", "--kill-child", "--pid", "--mount-proc"];
  const mmdebstrap = [
    ...["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", `--include=${packages.join(",")}`],
    ...(await aptOptions()).map((option) => `--aptopt=${option}`),
    ...scripts.map((script) => `--customize-hook=chroot "$1" /bin/sh -s <${shellQuote(script)}`),
    ...[suite, target, ...(sources ? ["-"] : [])],
  ];
  try {
    await exec("setpriv", [...wrapper, ...mmdebstrap], { input: sources, timeoutSeconds: 900 });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const look = 'see whether "apt-get update" works on this machine.';
    throw new ImageError(`Cannot build the image of ${suite}: ${look} ${reason}`, { cause: error });
  }
}

/** Deletes every cached image, and nothing else that the project keeps in the same folder. */
export async function cleanImages(): Promise<void> {
  const labs = await claimedLabs();
  if (labs.length > 0) throw new Error(`Running hosts need the images: first take down ${labs.join(", ")}.`);
  for (const name of await readdir(cacheFolder()).catch(() => [])) {
    if (PREFIXES.some((prefix) => name.startsWith(prefix))) await remove(name);
  }
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
