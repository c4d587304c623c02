import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import type * as pulumi from "@pulumi/pulumi";
import type { Host } from "../../remote/host.ts";
import { toolsDirectoryOf } from "../../remote/host.ts";
import { RemoteComponent } from "../../remote/remoteComponent.ts";
import {
  driftNames,
  isWhole,
  libraryNames,
  notifyName,
  partNames,
  programNames,
  readProgram,
  readScript,
  withoutComments,
} from "../../remote/scriptFiles.ts";

/** Arguments of {@link HostTools}. */
export interface HostToolsArgs {
  /** The host, with its `toolsDirectory`. */
  host: Host;
  /** Whether it tells somebody when a tunnel is down. @default false */
  notifies?: boolean;
}

/**
 * The tools of all other scripts on a host: library, parts and programs, installed once, in a folder that is named after
 * its content. Commands then send only values. Other versions and stacks have their own folders next to it.
 *
 * @example
 * ```ts
 * const facts = new HostFacts("gate-facts", { host, needsServer: true });
 * const known = { ...host, rootShell: facts.rootShell, after: [facts] };
 * const tools = new HostTools("gate-tools", { host: known });
 * const ready = { ...known, after: [facts, tools] }; // for everything that follows
 * ```
 */
export class HostTools extends RemoteComponent {
  constructor(name: string, args: HostToolsArgs, opts?: pulumi.ComponentResourceOptions) {
    super("HostTools", name, opts);
    const { host, notifies = false } = args;
    const looks = host.drift !== undefined;
    const { hash, pack } = (packed[`${looks} ${notifies}`] ??= packedTools(looks, notifies));
    this.run(`${name}-script`, {
      host,
      what: "the tools",
      parts: [
        {
          script: "installTools",
          values: {
            TOOLS_FOLDER: toolsDirectoryOf(host),
            HASH: hash,
            PACK: pack,
            UNTIL_LAST: host.throughTunnel === undefined ? "" : "yes",
          },
        },
      ],
      whole: true,
      // Nobody can connect through a tunnel that is gone, so the last record on the host removes the tools there.
      removes: host.throughTunnel === undefined,
    });
    this.registerOutputs({});
  }
}

/**
 * Every file of the tools, by its path in their folder.
 *
 * @param looks whether somebody looks for drift on the host
 * @param notifies whether it tells somebody when a tunnel is down
 */
export function toolFiles(looks = false, notifies = false): Record<string, string> {
  const isNeeded = (name: string) => notifies || name !== notifyName;
  const programs = programNames
    .filter(isNeeded)
    .map((name) => [`bin/${name}`, `${readProgram(name)}\n`] as const);
  const parts = partNames.filter((name) => isNeeded(name) && !isWhole(name));
  return Object.fromEntries(
    [
      ...programs.filter(([, text]) => text.startsWith("#!")),
      ...(looks ? [["lib/drift.sh", joined(driftNames)] as const] : []),
      ["lib/library.sh", joined(libraryNames)] as const,
      ...parts.map((name) => [`parts/${name}.sh`, withoutComments(readScript(name))] as const),
    ].sort(([one], [other]) => (one < other ? -1 : 1)),
  );
}

const joined = (names: readonly string[]) => names.map((name) => withoutComments(readScript(name))).join("");

/** The same for all hosts of a run on which somebody looks for drift, or which tell somebody, and for all others. */
const packed: Record<string, Tools> = {};

interface Tools {
  hash: string;
  pack: string;
}

/** The tools as one text, and the SHA-256 of their content, sorted by path. */
function packedTools(looks: boolean, notifies: boolean): Tools {
  const files = Object.entries(toolFiles(looks, notifies));
  const hash = createHash("sha256")
    .update(files.map(([, text]) => text).join(""))
    .digest("hex");
  const folders = [...new Set(files.map(([path]) => path.split("/")[0]))];
  const script = [
    `mkdir ${folders.join(" ")}\n`,
    ...files.map(([path, text]) => `cat >${path} <<'${hash}'\n${text}${hash}\n`),
    "chmod 755 bin/*\n",
  ].join("");
  return { hash, pack: gzipSync(script, { level: 9 }).toString("base64") };
}
