import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;

/**
 * Starts a tool for a stack with these settings, and only these programs on its PATH; the value of each is its script.
 *
 * @param folder for these, and for its temporary files: the folder `tmp` in it
 */
export function startTool(
  folder: string,
  [tool, ...args]: [tool: string, ...args: string[]],
  settings: Record<string, unknown>,
  programs: Record<string, string>,
  project = "ssh-reverse-tunnel",
): ChildProcess {
  // As a user runs it, from a folder in that of the project.
  const cwd = join(folder, "project", "inner");
  mkdirSync(cwd, { recursive: true });
  writeFileSync(join(folder, "project", "Pulumi.yaml"), `name: ${project}\nruntime: nodejs\n`);
  const all = Object.entries(settings).map(([key, value]) => [key, { value: JSON.stringify(value) }]);
  writeFileSync(join(folder, "settings"), JSON.stringify(Object.fromEntries(all)));
  const pulumi = `case $1 in config) exec /bin/cat ${folder}/settings ;; stack) echo dev ;; esac`;
  for (const [name, script] of Object.entries({ pulumi, ...programs })) {
    writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return spawn(process.execPath, ["--import", tsx, resolve(`tools/${tool}.ts`), ...args], {
    cwd,
    env: { ...process.env, PATH: folder, TMPDIR: join(folder, "tmp") },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

/** How it ends, and what it has printed. */
export async function ended(
  process: ChildProcess,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const [stdout, stderr]: string[][] = [[], []];
  process.stdout!.on("data", (data: Buffer) => stdout!.push(data.toString()));
  process.stderr!.on("data", (data: Buffer) => stderr!.push(data.toString()));
  const [code] = (await once(process, "close")) as [number | null];
  return { code, stdout: stdout!.join(""), stderr: stderr!.join("") };
}
