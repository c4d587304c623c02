import { access, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { cacheDirectory, userPulumiHome } from "./cache.ts";
import { type Log, whyNoDownloads } from "./network.ts";
import { isExecutable, whichOnPath } from "./path.ts";
import type { Cli } from "./pulumi.ts";

/** Which providers may be used: see `npm run engine -- --help`. */
export type ProviderChoice = "auto" | "official" | "stand-in";

/** A provider plugin, and where it comes from. */
export interface Provider {
  name: string;
  version: string;
  path: string;
  origin: "on PATH" | "installed" | "downloaded" | "stand-in";
}

const INSTALL_SECONDS = 300;
const STAND_INS = fileURLToPath(new URL("../providers/bin", import.meta.url));

/** The lab's own PULUMI_HOME. */
export function pulumiHome(): string {
  return join(cacheDirectory(), "home");
}

/** The value of LAB_PROVIDERS. */
export function providerChoice(): ProviderChoice {
  const choice = process.env.LAB_PROVIDERS ?? "auto";
  if (choice === "auto" || choice === "official" || choice === "stand-in") return choice;
  throw new Error(`LAB_PROVIDERS is "${choice}": it must be auto, official or stand-in`);
}

/** Finds one provider in the version that its npm package requires: the official one, or else the stand-in. */
export async function findProvider(
  name: string,
  cli: Cli,
  choice: ProviderChoice,
  log: Log,
): Promise<Provider> {
  const version = versionOfPackage(name);
  if (choice === "stand-in") return standIn(name, version, "LAB_PROVIDERS=stand-in asks for it", log);
  const found = (await onPath(name, version)) ?? (await alreadyInstalled(name, version));
  if (found) return found;
  const why = await install(name, version, cli, log);
  if (why === undefined) {
    const installed = await alreadyInstalled(name, version);
    if (installed) return { ...installed, origin: "downloaded" };
  }
  const reason = `the official one (${version}) could not be downloaded: ${why ?? "it is not where it should be"}`;
  if (choice === "official") throw new Error(`no ${name} provider: ${reason}`);
  return standIn(name, version, reason, log);
}

/**
 * The folder with Pulumi's Node language host, which runs a project's program in a process of its own: that of the
 * official CLI, or else the stand-in. The programs of lab stacks run inside the process that opens them and need none.
 */
export async function languageHost(cli: Cli): Promise<string> {
  const name = "pulumi-language-nodejs";
  const found = await whichOnPath(name);
  if (found !== undefined) return dirname(found);
  const bundled = dirname(cli.path);
  return (await isExecutable(join(bundled, name))) ? bundled : join(STAND_INS, "nodejs");
}

/** Like the engine itself, prefers a plugin on PATH, whatever its version. */
async function onPath(name: string, version: string): Promise<Provider | undefined> {
  const path = await whichOnPath(`pulumi-resource-${name}`);
  // A process started with an engine's environment has the stand-ins on its PATH.
  if (path === undefined || path.startsWith(STAND_INS)) return undefined;
  return { name, version, path, origin: "on PATH" };
}

async function alreadyInstalled(name: string, version: string): Promise<Provider | undefined> {
  for (const home of [pulumiHome(), userPulumiHome()]) {
    const directory = join(home, "plugins", `resource-${name}-v${version}`);
    const path = join(directory, `pulumi-resource-${name}`);
    // Pulumi marks an unfinished installation with a file of this name next to it.
    const partial = await access(`${directory}.partial`).then(
      () => true,
      () => false,
    );
    if (!partial && (await isExecutable(path))) {
      return { name, version, path, origin: "installed" };
    }
  }
  return undefined;
}

/** Lets the CLI download the plugin; returns why that failed, or undefined if it worked. */
async function install(name: string, version: string, cli: Cli, log: Log): Promise<string | undefined> {
  const unreachable = await whyNoDownloads();
  if (unreachable !== undefined) return unreachable;
  log(`downloading the ${name} provider ${version} …`);
  await mkdir(pulumiHome(), { recursive: true });
  const result = await execa(cli.path, ["plugin", "install", "resource", name, `v${version}`], {
    env: { PULUMI_HOME: pulumiHome(), PULUMI_SKIP_UPDATE_CHECK: "true" },
    timeout: INSTALL_SECONDS * 1_000,
    reject: false,
  });
  if (!result.failed) return undefined;
  return result.timedOut ? `it took more than ${INSTALL_SECONDS} s` : lastLine(result.stderr);
}

async function standIn(name: string, version: string, because: string, log: Log): Promise<Provider> {
  const path = join(STAND_INS, name, `pulumi-resource-${name}`);
  if (!(await isExecutable(path)))
    throw new Error(`there is no stand-in for the ${name} provider at ${path}`);
  log(`warning: using the lab's stand-in for the ${name} provider, because ${because}`);
  return { name, version, path, origin: "stand-in" };
}

function versionOfPackage(name: string): string {
  const require = createRequire(import.meta.url);
  return (require(`@pulumi/${name}/package.json`) as { version: string }).version;
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
