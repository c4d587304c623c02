import { readFileSync, readdirSync } from "node:fs";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { connectionAdvice, warningsOf } from "./connectionAdvice.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { hostLabel } from "./host.ts";
import type { Host } from "./host.ts";
import { knownOr } from "./knownOr.ts";
import { rootShells } from "./rootShell.ts";
import { shellQuote } from "./shell.ts";

/** One thing on a host: how a script applies it. */
export interface Part {
  /** The script: `components/scripts/<script>.sh`, which defines `apply`. */
  script: string;
  /**
   * Its variables. They travel on standard input, never on a command line or in the environment; the text of a program does
   * not travel, since the host has it among its tools.
   */
  values: Values;
}

/** Variables of a script, by their names. */
export type Values = Record<string, pulumi.Input<string> | Program>;

/** What a {@link remoteScript} needs. */
export interface RemoteScriptArgs {
  /** The host that it runs on. */
  host: Host;
  /** What it takes care of, in words; its messages say "unchanged: gate (198.18.0.2): the key pair of nas". */
  what: pulumi.Input<string>;
  /** What it applies, in this order. A removal undoes what is on record, the latest first. */
  parts: Part[];
  /** Variables of the library, for all parts and for the removal. */
  values?: Values;
  /** Whether all of its text travels: it comes before the tools of the other scripts, and is one part. @default false */
  whole?: boolean;
  /**
   * The first script on the host, which looks at it: it runs as the admin itself and not through sudo, and does not
   * repeat a refused login.
   * @default false
   */
  first?: boolean;
  /** Whether it has something to undo on delete. @default true */
  removes?: boolean;
  /** The name of its record on the host, which it may share with another script. @default its own name */
  record?: string;
  /**
   * Whether what is on record and no longer wanted stays until another script has proven what replaces it, and sweeps it.
   * @see settles
   * @default false
   */
  keepsStale?: boolean;
  /** What scripts on the same host have kept, which goes after all else has been applied. @default none */
  settles?: Kept[];
  /** The records that a removal undoes, in this order. @default its own */
  undoes?: string[];
  /**
   * What a refused login means at this script, for the advice: "…; <this>". Such a login is not repeated either.
   */
  ifRefused?: string;
}

/** What a script with `keepsStale` has kept: its record, and a token that is new whenever there is something to sweep. */
export interface Kept {
  record: string;
  token: pulumi.Output<string>;
}

/**
 * Runs one of our scripts on a host: `apply` on create and on update, `remove` on delete. This is the only place where
 * a command is made, so whatever holds for all of them is here:
 *
 * - What travels on standard input is a header of quoted `NAME='value'` lines, and a few lines that read the script and its
 *   library from the host's tools (HostTools). The provider repeats the command line in its errors, and not standard input.
 * - `triggers` are never used: they replace, and the old one's `remove` would undo what the new one's `apply` did.
 * - `environment` is never used: it needs the server's AcceptEnv.
 *
 * Standard output is the script's result; messages are on standard error and show while `pulumi up` runs.
 *
 * @param after what it waits for, besides all that every script on its host waits for
 */
export function remoteScript(
  name: string,
  args: RemoteScriptArgs,
  { parent, after = [] }: { parent?: pulumi.Resource; after?: pulumi.Input<pulumi.Resource>[] } = {},
): command.remote.Command {
  const { host } = args;
  const values: Values = {
    HOST: hostLabel(host),
    OWNER: ownerId(),
    STACK_ID: host.stackId ?? "",
    RESOURCE: fileOf(args.record ?? name),
    WHAT: args.what,
    REVISION: host.revision ?? "",
    ...(args.keepsStale ? { STALE: "keep" } : {}),
    ...(args.settles
      ? {
          SETTLES: args.settles.map(({ record }) => fileOf(record)).join(" "),
          TOKENS: pulumi
            .all(args.settles.map(({ token }) => token))
            .apply((all) => fingerprintOf(all.join())),
        }
      : {}),
    ...(args.undoes ? { RECORDS: args.undoes.map(fileOf).join(" ") } : {}),
    ...args.values,
  };
  const common = known(values);
  const parts = args.parts.map((part) => ({ script: part.script, ...known(part.values) }));
  const shell = shellFor(args);
  return new command.remote.Command(
    name,
    {
      connection: connectionFor(args),
      create: pulumi.interpolate`${shell} apply`,
      update: pulumi.interpolate`${shell} apply`,
      ...(args.removes === false ? {} : { delete: pulumi.interpolate`${shell} remove` }),
      stdin: pulumi
        .all([common.inputs, pulumi.all(parts.map(({ inputs }) => inputs))])
        .apply(([inputs, ofParts]) =>
          (args.whole ? scriptText : commandText)(
            { ...inputs, ...common.programs },
            parts.map(({ script, programs }, index) => ({
              script,
              values: { ...ofParts[index], ...programs },
            })),
          ),
        ),
      addPreviousOutputInEnv: false,
      logging: command.remote.Logging.Stderr,
    },
    {
      hooks: hooksOf(name, args),
      dependsOn: [...(host.after ?? []), ...after],
      ...(parent ? { parent } : {}),
    },
  );
}

/** The record's file; find takes its path for a pattern, in which encodeURIComponent leaves the "*". */
const fileOf = (record: string) => encodeURIComponent(record).replaceAll("*", "%2A");

/**
 * What a script has kept, by what it printed. In a preview in which it is to run again, nothing: what changes it also changes
 * the script that settles it.
 */
export function keptBy(record: string, stdout: pulumi.Output<string>): Kept {
  const token = knownOr(pulumi.output(""), stdout).apply(
    (text) => /^token ([0-9a-f-]{36})$/m.exec(text)?.[1] ?? "",
  );
  return { record, token };
}

/** The inputs among the values, once they are known, and the programs; an Output would make plain objects of those. */
function known(values: Values): { inputs: pulumi.Output<Record<string, string>>; programs: KnownValues } {
  const isProgram = ([, value]: [string, unknown]) => value instanceof Program;
  const all = Object.entries(values);
  const inputs = all.filter((entry) => !isProgram(entry)) as [string, pulumi.Input<string>][];
  return {
    inputs: pulumi.all(Object.fromEntries(inputs)),
    programs: Object.fromEntries(all.filter(isProgram)) as Record<string, Program>,
  };
}

/** The command line that the verb is added to. The admin's own PATH may lead nowhere; root's is left to root. */
function shellFor({ host, first }: RemoteScriptArgs): pulumi.Output<string> {
  return pulumi.output(host.connection.user).apply((user = "root") => {
    if (user === "root") return pulumi.output("sh -s --");
    return pulumi.output(first ? "/bin/sh -s --" : (host.rootShell ?? rootShells[0]));
  });
}

/**
 * How often a login is tried. The first script on a host, which all others wait for, tries twice more at once and no
 * oftener: fail2ban counts refused logins. For the others the login has been seen to work, and what refuses them is
 * sshd's MaxStartups, which drops connections at random while ten are logging in. Through a tunnel that restarts the
 * provider would try a connection that is dead already: there the error hook tries again, from the start.
 */
function connectionFor({ host, first, ifRefused }: RemoteScriptArgs): Host["connection"] {
  const doubtful = first || ifRefused !== undefined || host.throughTunnel !== undefined;
  return { ...host.connection, dialErrorLimit: host.connection.dialErrorLimit ?? (doubtful ? 2 : 10) };
}

function hooksOf(name: string, { host, ifRefused }: RemoteScriptArgs): pulumi.ResourceHookBinding {
  const warnings = [warningsOf(name)];
  return { onError: [connectionAdvice(name, host, ifRefused)], afterCreate: warnings, afterUpdate: warnings };
}

/**
 * The project and stack that the things on a host belong to, as a file name: `ssh-reverse-tunnel-dev`.
 *
 * Two stacks may have the same: those of two Pulumi states, or "c" of the project "a-b" and "b-c" of "a". What tells
 * them apart is {@link Host.stackId}, by which the second of them is refused.
 */
export function ownerId(): string {
  return `${pulumi.getProject()}-${pulumi.getStack()}`.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}

/** As the value of a script's variable: the text of a program, `scripts/installed/<name>.sh`. */
export class Program {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A shell script of this folder. */
export function readScript(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.sh`, import.meta.url), "utf8");
}

/** The names of the shell scripts in this folder, or in one of those below it. */
export function scriptNames(folder = ""): string[] {
  return readdirSync(new URL(`./scripts/${folder}`, import.meta.url))
    .filter((file) => file.endsWith(".sh"))
    .map((file) => file.slice(0, -".sh".length));
}

/** A program that goes to the hosts, `scripts/installed/<name>.sh`, with what it names in its line "# needs: …" in that place. */
export function installedProgram(name: string): string {
  return readScript(`installed/${name}`)
    .replace(/^# needs: (.*)\n/m, (_, parts: string) =>
      parts
        .split(" ")
        .map((part) => readScript(isShared(part) ? part : `installed/${part}`))
        .join("\n"),
    )
    .trimEnd();
}

/** What scripts have in common, in the order in which it is read. */
export const scriptLibrary = [
  "messages",
  "connection",
  "lib",
  "printable",
  "record",
  "files",
  "lines",
  "sshFolder",
  "accounts",
  "units",
  "status",
  "trial",
  "session",
  "strangers",
  "sshdAccess",
  "forwards",
  "ports",
  "selinux",
  "firewalls",
  "nftables",
] as const;

const isShared = (part: string) => (scriptLibrary as readonly string[]).includes(part);

/** The library: all of it, but for the scripts that come before the tools, which name what they need. */
export function libraryOf(script: string): string[] {
  const needs = /^# needs: (.*)$/m.exec(readScript(script))?.[1]?.split(" ");
  return scriptLibrary.filter((part) => needs?.includes(part) ?? true);
}

/** Values that are known. */
export type KnownValues = Record<string, string | Program>;

/** A {@link Part} whose values are known. */
export interface KnownPart {
  script: string;
  values: KnownValues;
}

/**
 * A script with all that it needs, as a host reads it: a header of its values, the library, and its parts. `read` reads
 * each of these.
 */
export function scriptText(
  common: KnownValues,
  parts: KnownPart[],
  read = (name: string) => withoutComments(readScript(name)),
): string {
  const needed = parts.length === 0 ? scriptLibrary : parts.flatMap(({ script }) => libraryOf(script));
  const library = [...new Set(needed)].map(read);
  const [first, ...others] = parts;
  if (first && others.length === 0) {
    const header = headerOf({ ...common, ...first.values });
    const call = isWhole(first.script) ? "" : 'apply_parts() { apply; }\nmain "$@"\n';
    return [header, ...library, read(first.script), call].join("");
  }
  const applied = parts.map(({ script }, index) => `values_${index + 1}\n${read(script)}apply\n`);
  const apply = `apply_parts() {\n:\n${applied.join("")}}\nmain "$@"\n`;
  return [headerOf(common), ...parts.map(valuesFunction), ...library, apply].join("");
}

/** Those that travel whole call what they do themselves. */
const isWhole = (script: string) => /^[a-z_]+ "\$@"$/m.test(readScript(script));

/** What travels where the host has the tools: the header, and what reads the rest. */
export function commandText(common: KnownValues, parts: KnownPart[]): string {
  const texts = [
    ...parts.map(({ script }) => withoutComments(readScript(script))),
    ...[common, ...parts.map(({ values }) => values)]
      .flatMap(programsIn)
      .map(([, { name }]) => installedProgram(name)),
  ];
  const header = headerOf({
    ...textsIn(common),
    PARTS: parts.map(({ script }) => script).join(" "),
    // So that a changed script runs again, though it does not travel.
    PARTS_HASH: fingerprintOf(texts.join()),
  });
  const values = parts.map((part, index) => valuesFunction({ ...part, values: textsIn(part.values) }, index));
  return [header, ...values, withoutComments(readScript("loader"))].join("");
}

const programsIn = (values: KnownValues) =>
  Object.entries(values).filter((entry): entry is [string, Program] => entry[1] instanceof Program);

/** In place of the texts of programs, which of them the host is to read. */
function textsIn(values: KnownValues): KnownValues {
  const programs = programsIn(values);
  const others = Object.entries(values).filter(([, value]) => !(value instanceof Program));
  const texts = programs.map(([variable, { name }]) => `${variable}=${name}`).join(" ");
  return { ...Object.fromEntries(others), TEXTS: texts };
}

/** The shell function that sets the variables of the n-th part. */
function valuesFunction({ values }: KnownPart, index: number): string {
  return `values_${index + 1}() {\n:\n${headerOf(values)}}\n`;
}

function headerOf(values: KnownValues): string {
  return Object.entries(values)
    .map(
      ([name, value]) =>
        `${name}=${shellQuote(value instanceof Program ? installedProgram(value.name) : value)}\n`,
    )
    .join("");
}

/** The state holds each text that travels, and the engine writes it anew at each step: a third of a script is comments. */
export function withoutComments(script: string): string {
  return script.replaceAll(/^[ \t]*#.*\n/gm, "");
}
