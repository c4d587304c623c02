import { access } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exec } from "../../lab/exec.ts";
import { cacheFolder } from "../../lab/image.ts";
import { table } from "../document.ts";
import { chisel, frp, rathole } from "./others.ts";
import { autossh, autosshTuned, guide } from "./plainSsh.ts";
import { project, projectByProxy, projectWithTwoHosts } from "./project.ts";
import type { Tool } from "./tool.ts";

const INSTALL = fileURLToPath(new URL("install.sh", import.meta.url));

/** Every tool, in the order of the tables. */
export const allTools: Tool[] = [
  ...[project, guide, autossh, autosshTuned, frp, chisel, rathole],
  ...[projectByProxy, projectWithTwoHosts],
];

/** The tools that are available here, and the folder of their programs. */
export interface Installed {
  tools: Tool[];
  programs: string;
}

/** The lines of a table that describes each tool and its configuration. */
export function toolTable(tools: Tool[]): string[] {
  return table(
    ["tool", "version", "settings"],
    tools.map((tool) => [tool.title, tool.version ?? tool.source?.split("@")[1] ?? "", tool.settings]),
  );
}

/** Builds what does not exist yet; a tool that cannot be built is left out, and named. */
export async function buildTools(tools: Tool[], onProgress: (line: string) => void): Promise<Installed> {
  onProgress("Looking for the programs to compare with, which are built once, in some minutes …");
  const sources = [...new Set(tools.flatMap((tool) => tool.source ?? []))];
  const folder = await install(sources, onProgress);
  const there: Tool[] = [];
  for (const tool of tools) {
    const isBuilt = !tool.source || (await exists(join(folder, tool.source)));
    if (isBuilt) there.push(tool);
    else onProgress(`${tool.title} is left out: it could not be built`);
  }
  return { tools: there, programs: join(folder, "bin") };
}

/** Builds what does not exist yet of these, each as name@version; returns the folder of all. */
export async function install(sources: string[], onProgress: (line: string) => void): Promise<string> {
  const folder = join(cacheFolder(), "bench");
  const options = { allowFailure: true, timeoutSeconds: 3600 };
  const { stderr } = await exec("sh", [INSTALL, folder, ...sources], options);
  for (const line of stderr.split("\n").filter(Boolean)) onProgress(line);
  return folder;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
