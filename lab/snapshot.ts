import { createHash } from "node:crypto";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "./exec.ts";

/** What a running system changes all the time, and does not count as a change. This is the only list of it. */
export const ALWAYS_CHANGING = [
  "/run", // volatile, as are the next five
  "/proc",
  "/sys",
  "/dev",
  "/tmp",
  "/var/tmp",
  "/var/log/journal", // the journal itself
  "/var/log/wtmp", // who was logged in, kept by sshd and login
  "/var/log/btmp",
  "/var/log/lastlog",
  "/var/lib/systemd/random-seed", // written at every boot
  "/var/lib/systemd/timers", // when a timer last ran
  "/var/lib/systemd/catalog", // an index, rebuilt when needed
  "/var/lib/private", // state of dynamic users
  "/var/cache/private",
  "/var/cache/ldconfig", // caches
  "/etc/.updated", // when systemd last saw a new /usr
  "/var/.updated",
];

/** One path in a snapshot. */
interface Entry {
  kind: "file" | "directory" | "symlink" | "absent" | "other";
  mode: number;
  owner: string;
  /** The time of a file, in milliseconds. */
  mtime?: number;
  /** The hash of a file's content, or the target of a symlink. */
  content?: string;
  /** For a directory: it hides the content of the image. */
  opaque?: boolean;
}

/** The state of a host's file system at one moment, as its differences from the image. Can be stored as JSON. */
export interface Snapshot {
  host: string;
  entries: Record<string, Entry>;
}

/** Reads a host's differences from the image in the upper folder of its overlay. */
export async function readUpper(host: string, upper: string): Promise<Snapshot> {
  const entries: Record<string, Entry> = {};
  const visit = async (path: string): Promise<void> => {
    if (ALWAYS_CHANGING.includes(path)) return;
    const entry = await describe(upper + path);
    entries[path] = entry;
    if (entry.kind !== "directory") return;
    for (const name of await readdir(upper + path).catch(() => [])) await visit(join(path, name));
  };
  await visit("/");
  // If a directory was removed and created again, only this attribute shows that the old content is gone.
  const attribute = ["-R", "-P", "-h", "--absolute-names", "-m", "^trusted.overlay.opaque$", upper];
  const found = await exec("getfattr", attribute, { allowFailure: true });
  for (const line of found.stdout.split("\n")) {
    const entry = line.startsWith("# file: ")
      ? entries[line.slice("# file: ".length + upper.length)]
      : undefined;
    if (entry) entry.opaque = true;
  }
  return { host, entries };
}

/** Every path that differs between two snapshots of a host, in sentences such as "changed /etc/hosts (content)". */
export async function compare(before: Snapshot, now: Snapshot, image: string): Promise<string[]> {
  const paths = new Set([...Object.keys(before.entries), ...Object.keys(now.entries)]);
  for (const { entries } of [before, now]) {
    for (const [path, entry] of Object.entries(entries)) {
      if (hidesImage(entry)) for (const hidden of await below(image, path)) paths.add(hidden);
    }
  }
  const lines: string[] = [];
  for (const path of [...paths].sort()) {
    const [a, b] = [await stateOf(path, before, image), await stateOf(path, now, image)];
    const line = difference(path, a, b);
    if (line) lines.push(line);
  }
  return lines;
}

function difference(path: string, a: Entry, b: Entry): string | undefined {
  if (a.kind === "absent" && b.kind === "absent") return undefined;
  if (a.kind === "absent") return `added ${path}`;
  if (b.kind === "absent") return `removed ${path}`;
  const what: string[] = [];
  if (a.kind !== b.kind) what.push(`was a ${a.kind}, is a ${b.kind}`);
  else if (a.content !== b.content) what.push(a.kind === "symlink" ? "target" : "content");
  if (a.mode !== b.mode) what.push("mode");
  if (a.owner !== b.owner) what.push("owner");
  if (what.length === 0 && a.mtime !== b.mtime) what.push("mtime");
  return what.length === 0 ? undefined : `changed ${path} (${what.join(", ")})`;
}

/** A path as the host saw it: its own difference or, unless a parent hides it, the image. */
async function stateOf(path: string, snapshot: Snapshot, image: string): Promise<Entry> {
  const own = snapshot.entries[path];
  if (own) return own;
  for (let parent = join(path, ".."); parent !== "/"; parent = join(parent, "..")) {
    const entry = snapshot.entries[parent];
    if (entry && hidesImage(entry)) return ABSENT;
  }
  return describe(image + path);
}

const ABSENT: Entry = { kind: "absent", mode: 0, owner: "" };

function hidesImage(entry: Entry): boolean {
  return entry.kind !== "directory" || entry.opaque === true;
}

async function below(image: string, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(image + path, { withFileTypes: true }).catch(() => [])) {
    const child = join(path, entry.name);
    if (ALWAYS_CHANGING.includes(child)) continue;
    found.push(child, ...(entry.isDirectory() ? await below(image, child) : []));
  }
  return found;
}

async function describe(path: string): Promise<Entry> {
  const stat = await lstat(path).catch(() => undefined);
  // The overlay marks a removed path with a character device 0:0.
  if (!stat || (stat.isCharacterDevice() && stat.rdev === 0)) return ABSENT;
  const common = { mode: stat.mode & 0o7777, owner: `${stat.uid}:${stat.gid}` };
  if (stat.isDirectory()) return { kind: "directory", ...common };
  if (stat.isSymbolicLink())
    return { kind: "symlink", ...common, content: await readlink(path).catch(() => "") };
  if (!stat.isFile()) return { kind: "other", ...common };
  const content = createHash("sha256").update(await readFile(path).catch(() => ""));
  return { kind: "file", ...common, mtime: stat.mtimeMs, content: content.digest("hex") };
}
