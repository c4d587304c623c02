import { mkdir } from "node:fs/promises";
import { delimiter, dirname } from "node:path";
import type { PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import type { Log } from "./engine/network.ts";
import { findProvider, languageHost, type Provider, providerChoice, pulumiHome } from "./engine/plugins.ts";
import { type Cli, findCli } from "./engine/pulumi.ts";

/** A Pulumi engine that is ready to run this project's programs. */
export interface Engine {
  /** For the `pulumiCommand` of the Automation API. */
  command: PulumiCommand;
  path: string;
  version: string;
  origin: Cli["origin"];
  /** The command provider and the random provider, official or stand-in. */
  providers: Provider[];
  /** The lab's own PULUMI_HOME. */
  home: string;
  /** What the engine's process needs in its environment, including PULUMI_HOME and PATH. */
  env: Record<string, string>;
}

const PROVIDERS = ["command", "random"];

let found: Promise<Engine> | undefined;

/**
 * Finds a Pulumi engine and its providers, or creates them: a CLI on PATH, one from an earlier run, the official
 * download, or a build from the Go module. Later calls return the same, so a failed download is not tried again by this
 * process.
 */
export function findEngine(log: Log = (line) => console.error(`engine: ${line}`)): Promise<Engine> {
  found ??= makeEngine(log);
  return found;
}

async function makeEngine(log: Log): Promise<Engine> {
  const choice = providerChoice();
  const cli = await findCli(log);
  const providers: Provider[] = [];
  for (const name of PROVIDERS) providers.push(await findProvider(name, cli, choice, log));
  const home = pulumiHome();
  await mkdir(home, { recursive: true });
  // The engine prefers a plugin on PATH, whatever its version, so these come first.
  const plugins = [...providers.map((provider) => dirname(provider.path)), await languageHost(cli)];
  return {
    ...cli,
    providers,
    home,
    env: {
      PULUMI_HOME: home,
      PATH: [...plugins, process.env.PATH ?? ""].join(delimiter),
      // Without it, every command of the CLI waits seconds for the update check.
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_IGNORE_AMBIENT_PLUGINS: "false",
      // The CLI logs each of its commands in PULUMI_HOME, up to 500 MB by default.
      PULUMI_LOG_ROTATION_MAX_TOTAL_MB: "20",
    },
  };
}
