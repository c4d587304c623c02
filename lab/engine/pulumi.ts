import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import { execa, ExecaError } from "execa";
import { SemVer } from "semver";
import { cacheDirectory, PULUMI_VERSION } from "./cache.ts";
import { downloadVerified } from "./download.ts";
import { type Log, rootCause, whyNoDownloads } from "./network.ts";
import { whichOnPath } from "./path.ts";

/** The oldest Pulumi CLI on PATH that the lab accepts: older ones were never tested with this SDK. */
const OLDEST_ON_PATH = "3.200.0";

const DOWNLOAD_SECONDS = 300;
const RELEASES = "https://get.pulumi.com/releases/sdk";
/** The user copies it from the release's own list of checksums. */
const CHECKSUM_VARIABLE = "LAB_PULUMI_SHA256";
const GO_MODULE = fileURLToPath(new URL(".", import.meta.url));
const VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version";

/** A Pulumi CLI, and where it comes from. */
export interface Cli {
  command: PulumiCommand;
  path: string;
  version: string;
  origin: "on PATH" | "kept from earlier" | "downloaded" | "built from the Go module";
}

/** The first Pulumi CLI that is available: on PATH, from an earlier run, downloaded, or built from the Go module. */
export async function findCli(log: Log): Promise<Cli> {
  const root = cacheDirectory();
  const onPath = await whichOnPath("pulumi");
  if (onPath !== undefined) {
    try {
      const command = await PulumiCommand.get({ version: new SemVer(OLDEST_ON_PATH) });
      return describe(command, onPath, "on PATH");
    } catch (error) {
      log(`not using ${onPath}: ${rootCause(error)}`);
    }
  }
  const kept = join(root, "bin", "pulumi");
  const earlier = await installed(root).catch(() => undefined);
  if (earlier !== undefined) return describe(earlier, kept, "kept from earlier");

  const why = await download(root, log);
  if (why === undefined) return describe(await installed(root), kept, "downloaded");
  log(`no official Pulumi CLI: ${why}`);
  await build(root, why, log);
  return describe(await installed(root), kept, "built from the Go module");
}

function describe(command: PulumiCommand, path: string, origin: Cli["origin"]): Cli {
  return { command, path, version: command.version?.version ?? "unknown", origin };
}

function installed(root: string): Promise<PulumiCommand> {
  return PulumiCommand.get({ root, version: new SemVer(PULUMI_VERSION) });
}

/** Downloads the official CLI into `root` if its checksum is given; returns why not, or undefined if it worked. */
async function download(root: string, log: Log): Promise<string | undefined> {
  const archive = `pulumi-v${PULUMI_VERSION}-linux-${process.arch}.tar.gz`;
  const sha256 = process.env[CHECKSUM_VARIABLE] ?? "";
  if (!/^[0-9a-f]{64}$/i.test(sha256)) {
    return `nothing is downloaded without its checksum: ${CHECKSUM_VARIABLE} is not the SHA-256 of ${archive}`;
  }
  const unreachable = await whyNoDownloads();
  if (unreachable !== undefined) return unreachable;
  log(`downloading ${archive} to ${root} …`);
  try {
    const limit = AbortSignal.timeout(DOWNLOAD_SECONDS * 1_000);
    await downloadVerified(`${RELEASES}/${archive}`, sha256, join(root, "bin"), limit);
    return undefined;
  } catch (error) {
    return rootCause(error);
  }
}

/** Builds the CLI from the Go module in this folder, under a temporary name first. */
async function build(root: string, whyNoDownload: string, log: Log): Promise<void> {
  const wanted = await goVersionWanted();
  const go = await execa({ reject: false })`go version`;
  if (go.failed) {
    throw new Error(
      `no Pulumi CLI: there is none on PATH, it could not be downloaded (${whyNoDownload}), and building it ` +
        `needs Go ${wanted} or later, which was not found.\nInstall Pulumi (https://www.pulumi.com/docs/install/) ` +
        `or Go (https://go.dev/doc/install), then try again.`,
    );
  }
  log(`building Pulumi ${PULUMI_VERSION} from its Go module with ${go.stdout}: this takes minutes, once`);
  const started = Date.now();
  const seconds = () => Math.round((Date.now() - started) / 1_000);
  const progress = setInterval(() => log(`still building Pulumi: ${seconds()} s`), 10_000);
  const temporary = join(root, "bin", `pulumi.${process.pid}.new`);
  await mkdir(join(root, "bin"), { recursive: true });
  try {
    // -s -w leave out the debugging tables: half the size, and faster linking.
    const flags = `-s -w -X ${VERSION_VARIABLE}=v${PULUMI_VERSION}`;
    const target = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi";
    await execa("go", ["build", "-ldflags", flags, "-o", temporary, target], { cwd: GO_MODULE });
    await rename(temporary, join(root, "bin", "pulumi"));
  } catch (error) {
    const detail = error instanceof ExecaError ? error.stderr : rootCause(error);
    throw new Error(
      `building Pulumi with Go failed (${go.stdout}; ${wanted} or later is needed):\n${detail}`,
      {
        cause: error,
      },
    );
  } finally {
    clearInterval(progress);
    await rm(temporary, { force: true });
  }
  log(`built Pulumi in ${seconds()} s: ${join(root, "bin", "pulumi")}`);
}

async function goVersionWanted(): Promise<string> {
  const text = await readFile(join(GO_MODULE, "go.mod"), "utf8");
  return /^go (\S+)$/m.exec(text)?.[1] ?? "1.26";
}
