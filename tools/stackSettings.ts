/** What the tools that ask the hosts of a stack have in common: their options, and its settings. */
import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { parse } from "yaml";
import { chooseWays } from "../components/remote/ways.ts";
import type { Config } from "../components/settings/load.ts";
import { parseConfig, readStacks, textSettings } from "../components/settings/load.ts";
import type { StackOutputs } from "../components/settings/managedBy.ts";
import { settingsSchema } from "../components/settings/schema.ts";

const run = promisify(execFile);

/** Their options besides `--help`. */
export interface ToolOptions {
  /** Another stack than the one that is selected. */
  stack?: string | undefined;
  /** Whether to print the result for programs. */
  json?: boolean | undefined;
  /** Seconds between two results, if it is to go on. */
  watch?: number | undefined;
}

/** Runs such a tool, and ends with what it returns as the exit status; with 2 if it could not do its work. */
export async function runTool(
  tool: string,
  usage: string,
  main: (options: ToolOptions) => Promise<number>,
  { canWatch = false } = {},
): Promise<void> {
  const options = {
    stack: { type: "string" },
    json: { type: "boolean" },
    help: { type: "boolean", short: "h" },
    ...(canWatch ? ({ watch: { type: "boolean" } } as const) : {}),
  } as const;
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: canWatch });
    const { watch = false, ...others } = values as typeof values & { watch?: boolean };
    const [seconds = "10", ...more] = positionals;
    if ((positionals.length > 0 && !watch) || more.length > 0 || !/^[1-9]\d{0,4}$/.test(seconds))
      throw new Error(`'${positionals.join(" ")}' is not understood; see --help`);
    if (others.help) console.log(usage);
    else process.exitCode = await main({ ...others, watch: watch ? Number(seconds) : undefined });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    console.error(`${tool}: ${(stderr || message).trim()}`);
    process.exitCode = 2;
  }
}

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
  const project = projectIn().name;
  const known = Object.keys(settingsSchema.shape);
  // Other keys are those of other programs and of providers.
  const raw = Object.entries(JSON.parse(stdout) as Record<string, { value?: string }>).flatMap(
    ([key, { value = "" }]): [string, unknown][] => {
      const name = key.slice(project.length + 1);
      return key === `${project}:${name}` && known.includes(name)
        ? [[name, textSettings.includes(name) ? value : (json(value) ?? value)]]
        : [];
    },
  );
  if (raw.length === 0) {
    throw new Error(
      `this stack has none of the settings publicHosts and internalHosts, with which npm run ${tool} finds its hosts${tool === "status" ? "; run ssh-tunnel-status on each host" : ""}`,
    );
  }
  const settings = Object.fromEntries(raw);
  return { config: parseConfig(settings, () => [], await readStacks(settings, outputsOf)), project };
}

/** The outputs of a stack that manages public hosts of this one. */
async function outputsOf(stack: string): Promise<StackOutputs> {
  try {
    const { stdout } = await run("pulumi", ["stack", "output", "--json", "--stack", stack]);
    return { outputs: JSON.parse(stdout) as Record<string, unknown> };
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string };
    return {
      error: (stderr || message)
        .trim()
        .split("\n")
        .at(-1)!
        .replace(/^error: /, ""),
    };
  }
}

/** The hosts, those with several tunnels through the first that answers. */
export function reachable(hosts: Config["internalHosts"], say: Say = sayHere) {
  const log = (text: string) => Promise.resolve(say(text));
  return chooseWays(hosts, false, undefined, { info: log, warn: log });
}

/** A Pulumi project. */
export interface Project {
  name: string;
  folder: string;
  /** Where the settings of its stacks are. */
  settingsFolder: string;
}

/** The project of a folder; the Pulumi CLI looks for its file there and in the folders above. */
export function projectIn(folder = process.cwd()): Project {
  const file = ["yaml", "yml", "json"].map((end) => join(folder, `Pulumi.${end}`)).find(existsSync);
  if (file !== undefined) {
    const { name, stackConfigDir = "" } = parse(readFileSync(file, "utf8")) as Record<string, string>;
    return { name: name!, folder, settingsFolder: join(folder, stackConfigDir) };
  }
  if (dirname(folder) === folder) throw new Error("there is no Pulumi.yaml here or above");
  return projectIn(dirname(folder));
}

/** The name of the stack alone, without its organization and project. */
export async function stackName(stack: string | undefined): Promise<string> {
  const which = stack === undefined ? [] : ["--stack", stack];
  const { stdout } = await run("pulumi", ["stack", "--show-name", ...which]);
  return stdout.trim().split("/").at(-1)!;
}

/** Where what a tool does meanwhile is said. Standard output stays for the result. */
export type Say = (line: string) => void;
export const sayHere: Say = (line) => console.error(line);

export const sayWaiting = (say: Say) => (names: string[]) => say(`waiting for ${names.join(", ")} …`);

/** The parsed text; undefined if it is not JSON. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
