import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ProjectSettings, Stack } from "@pulumi/pulumi/automation/index.js";
import type { Engine } from "../engine.ts";

/**
 * The project's settings. They also name the plugins: the engine would find them on PATH anyway, but would print a
 * warning in every operation.
 */
export function projectSettings(name: string, engine: Engine, url: string): ProjectSettings {
  const providers = engine.providers.map(({ name, version, path }) => ({
    name,
    version,
    path: dirname(path),
  }));
  const settings: ProjectSettings & { plugins: object } = {
    name,
    runtime: "nodejs",
    backend: { url },
    plugins: { providers },
  };
  return settings;
}

/** Replaces the stack's settings file with this one, keeping the stack's salt if the new file has none. */
export async function takeSettings({ workspace, name }: Stack, file: string): Promise<void> {
  const own = join(workspace.workDir, `Pulumi.${name}.yaml`);
  // A stack that somebody else has created has no settings here yet.
  const encryptionSalt = existsSync(own) ? (await workspace.stackSettings(name)).encryptionSalt : undefined;
  await copyFile(file, own);
  const settings = await workspace.stackSettings(name);
  if (settings.encryptionSalt === undefined && encryptionSalt !== undefined) {
    await workspace.saveStackSettings(name, { ...settings, encryptionSalt });
  }
}
