import * as pulumi from "@pulumi/pulumi";
import { fingerprintOf } from "./fingerprint.ts";
import { askAll, askHost, type Ending } from "./askHost.ts";
import type { Host } from "./host.ts";
import { printable } from "./printable.ts";
import { ownerId } from "./remoteScript.ts";
import { rootShells } from "./rootShell.ts";
import { loaderText, withoutComments } from "./scriptFiles.ts";
import { shellQuote } from "./shellQuote.ts";

/** A host on which to look for drift. */
export interface LookedAt {
  name: string;
  connection: Host["connection"];
}

/** The hosts of a stack that are looked at: all that Pulumi connects to now. */
export function hostsToLookAt(
  ...kinds: Record<string, { connection: Host["connection"]; skip: boolean; gone: boolean }>[]
): LookedAt[] {
  return kinds.flatMap((hosts) =>
    Object.entries(hosts)
      .filter(([, { skip, gone }]) => !skip && !gone)
      .map(([name, { connection }]) => ({ name, connection })),
  );
}

/** What a look at one host found. */
export interface HostLook {
  /** The host for the user, as in every message: "gate (198.18.0.2)". */
  label: string;
  /** Why nothing is known; undefined if the look has succeeded. */
  error?: string;
  /** What could not be looked at, a sentence each. */
  notes: string[];
  /** The names of all records of the stack there. */
  records: string[];
  /** What differs, by the record that it is on. */
  drift: Record<string, RecordDrift>;
  /** Public keys on records with drift that are as they were, by account and file: "tunnel-nas/nas.key". */
  keys: Record<string, string>;
  /** Whether the scripts' tools are missing or changed. Without them, nothing else can be looked at. */
  lacksTools: boolean;
}

/** What differs of the things on one record. */
export interface RecordDrift {
  /** A hash of what differs, and of when the record was written: after a repair, the same drift has another one. */
  value: string;
  /** Each in words: "/etc/x: mode 666 instead of 644". */
  findings: string[];
}

/**
 * Looks for drift on all hosts, a few at a time, with one login each: the host compares what it has with what the last
 * runs have noted. Changes nothing. What it finds is for the argument `look` of the same hosts.
 *
 * @param owner the project and stack, as {@link ownerOf} writes them
 * @param waitingFor called every two seconds with the hosts that have not answered yet
 */
export async function lookForDrift(
  hosts: LookedAt[],
  owner = ownerId(),
  waitingFor: (names: string[]) => void = (names) =>
    void pulumi.log.info(`looking for drift: waiting for ${names.join(", ")} …`, undefined, undefined, true),
): Promise<Record<string, HostLook>> {
  const looks = await askAll(
    hosts,
    async ({ name, connection }, folder) => {
      const user = connection.user ?? "root";
      const input = textFor(name, owner, user === "root");
      const command = user === "root" ? "sh -s -- look" : "/bin/sh -s -- look";
      const { address, ending } = await askHost(connection, folder, command, { input, seconds: 60 });
      return [name, lookFrom(`${name} (${address})`, ending)] as const;
    },
    waitingFor,
  );
  return Object.fromEntries(looks);
}

/** What the host reads: the loader of every script, which reads the host's tools. */
function textFor(name: string, owner: string, isRoot: boolean): string {
  const header = { HOST: name, OWNER: owner, STACK_ID: "", RESOURCE: "", WHAT: "the look for drift" };
  const values = Object.entries(header).map(([key, value]) => `${key}=${shellQuote(value)}\n`);
  // In place of an error, the names of what could not be looked at.
  const loader = withoutComments(loaderText()).replace(/load "\$@"\n$/, () => `${noTools}load "$@"\n`);
  const look = values.join("") + loader;
  return isRoot
    ? look
    : `LOOK=${shellQuote(look)}\nROOT_SHELLS=${shellQuote(rootShells.join("\n"))}\n${asRoot}`;
}

const noTools = `no_tools() {
  cd "$STATE/$OWNER" 2>/dev/null || { echo "done" && exit 0; }
  for record in *; do [ ! -f "$record" ] || case $record in *.new) ;; *) printf 'record %s\\n' "$record" ;; esac; done
  printf 'no tools\\ndone\\n'
  exit 0
}
`;

/** For an admin other than root, the first of the ways that works on the host: see hostFacts.sh. */
const asRoot = `look_as_root() {
  while IFS= read -r way <&3; do
    case $(printf '%s\\n' 'echo "root $(id -u)"' | timeout 20 /bin/sh -c "$way look" 2>/dev/null) in *"root 0"*) ;; *) continue ;; esac
    printf '%s' "$LOOK" | /bin/sh -c "$way look"
    exit
  done 3<<END_OF_ROOT_SHELLS
$ROOT_SHELLS
END_OF_ROOT_SHELLS
  echo "error: the admin cannot become root without a password" >&2
  exit 3
}
look_as_root
`;

/** Parses what the look on a host has printed. */
export function lookFrom(label: string, { code, stdout, stderr }: Ending): HostLook {
  const nothing = (error: string): HostLook => ({
    ...{ label, error, notes: [], records: [], drift: {}, keys: {}, lacksTools: false },
  });
  // A login shell may have printed a greeting first.
  const lines = stdout.split("\n").filter(Boolean);
  const isPart = code === null && lines.includes("looking");
  if (isPart && !stdout.endsWith("\n")) lines.pop();
  const said = printable(
    stderr
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^error: /, "") ?? "",
    500,
  );
  const last = lines.at(-1);
  if (last === "busy") return nothing("is being changed by another run");
  if (last === "unable")
    return nothing("has tools that cannot look for drift yet; 'pulumi up' installs them");
  if (code === null && !isPart) return nothing("did not answer in 60 s");
  if (code === 255) return nothing(`cannot be reached: ${said}`);
  if (!isPart && (code !== 0 || last !== "done"))
    return nothing(`could not be looked at: ${said || printable(stdout, 80)}`);
  const records: string[] = [];
  const found = new Map<string, { time: string; findings: string[] }>();
  const notes = [...stderr.matchAll(/^error: (.*)$/gm)].map(([, text]) => printable(text!, 1000));
  for (const line of lines) {
    // All names of records in the program are like that; others could be special to JavaScript or Pulumi.
    const field = /^(record|drift) ([a-z][\w.~]*-[\w.~-]*)(?:\t([^\t]*)\t(.*))?$/s.exec(line);
    const [, kind, name = "", time, words] = field ?? [];
    if (kind === "record" && time === undefined) records.push(name);
    else if (kind === "drift" && time !== undefined && words !== undefined) {
      const record = found.get(name) ?? { time, findings: [] };
      record.findings.push(printable(words, 500));
      found.set(name, record);
    } else if (line.startsWith("drift "))
      notes.push(`${label}: a line of its answer cannot be read: ${printable(line, 500)}`);
  }
  if (isPart)
    notes.push(`${label}: what it had not answered after 60 s, and what is planned for that stays as it is`);
  const drift = [...found].map(([record, { time, findings }]): [string, RecordDrift] => [
    record,
    { value: fingerprintOf([time, ...findings].join("\n")), findings },
  ]);
  const keys = lines.flatMap((line) => {
    const [, name, key] = /^key ([^/ ]+\/[^/ ]+) (.*)$/.exec(line) ?? [];
    return name === undefined ? [] : [[name, key!] as const];
  });
  const lacksTools = lines.includes("no tools");
  return {
    label,
    notes,
    records,
    drift: Object.fromEntries(drift),
    keys: Object.fromEntries(keys),
    lacksTools,
  };
}
