/** The settings of a stack, for the tools that ask its hosts. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { chooseWays } from "../components/remote/ways.ts";
import type { Config } from "../components/settings/load.ts";
import { parseConfig, textSettings } from "../components/settings/load.ts";
import { settingsSchema } from "../components/settings/schema.ts";

const run = promisify(execFile);

/** A stack's settings, as the program gets them, and its project. */
export interface StackSettings {
  config: Config;
  /** The prefix of its settings. */
  project: string;
}

/** Reads them with the Pulumi CLI. `tool` is the name of the npm script. */
export async function settingsOf(tool: string, stack: string | undefined): Promise<StackSettings> {
  const which = stack === undefined ? [] : ["--stack", stack];
  const { stdout } = await run("pulumi", ["config", "--json", "--show-secrets", ...which]).catch(
    (error: Error & { code?: string }) => {
      throw error.code === "ENOENT" ? new Error("there is no pulumi on the PATH; install it") : error;
    },
  );
  const all = Object.entries(JSON.parse(stdout) as Record<string, { value?: string }>);
  const known = Object.keys(settingsSchema.shape);
  // The project may have another name here. Other keys are those of other programs and of providers.
  const raw = all.flatMap(([key, { value = "" }]): [string, unknown][] => {
    const name = key.slice(key.indexOf(":") + 1);
    return known.includes(name) ? [[name, textSettings.includes(name) ? value : (json(value) ?? value)]] : [];
  });
  if (raw.length === 0) {
    throw new Error(
      `this stack has none of the settings publicHosts and internalHosts, with which npm run ${tool} finds its hosts${tool === "status" ? "; run ssh-tunnel-status on each host" : ""}`,
    );
  }
  const [project = ""] = (all.find(([key]) => known.includes(key.slice(key.indexOf(":") + 1))) ?? [
    "",
  ])[0].split(":");
  return { config: parseConfig(Object.fromEntries(raw)), project };
}

/** The hosts, those with several tunnels through the first that answers. Standard output stays for the result. */
export function reachable(hosts: Config["internalHosts"]) {
  const say = (text: string) => Promise.resolve(console.error(text));
  return chooseWays(hosts, false, undefined, { info: say, warn: say });
}

/** The name of the stack alone, without its organization and project. */
export async function stackName(stack: string | undefined): Promise<string> {
  const which = stack === undefined ? [] : ["--stack", stack];
  const { stdout } = await run("pulumi", ["stack", "--show-name", ...which]);
  return stdout.trim().split("/").at(-1)!;
}

export const sayWaiting = (names: string[]) => console.error(`waiting for ${names.join(", ")} …`);

/** The parsed text; undefined if it is not JSON. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
