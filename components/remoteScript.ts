import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { connectionAdvice, warningsOf } from "./connectionAdvice.ts";
import { hostLabel } from "./host.ts";
import type { Host } from "./host.ts";
import { rootShells } from "./rootShell.ts";
import { shellQuote } from "./shell.ts";

/** What a {@link remoteScript} needs. */
export interface RemoteScriptArgs {
  /** The host that it runs on. */
  host: Host;
  /** The script: `components/scripts/<script>.sh`. */
  script: string;
  /** What it takes care of, in words; its messages say "unchanged: gate (198.18.0.2): the key pair of nas". */
  what: pulumi.Input<string>;
  /**
   * Variables of the script. They travel on standard input, never on a command line or in the environment; the text of a
   * program does not travel, since the host has it among its tools.
   */
  values?: Record<string, pulumi.Input<string> | Program>;
  /** Whether all of its text travels: it comes before the tools of the other scripts. @default false */
  whole?: boolean;
  /**
   * The first script on the host, which looks at it: it runs as the admin itself and not through sudo, and does not
   * repeat a refused login.
   * @default false
   */
  first?: boolean;
  /** Whether it has something to undo on delete. @default true */
  removes?: boolean;
  /** The record on the host that it shares with another script. @default its own, of its name */
  record?: string;
  /**
   * What a refused login means at this script, for the advice: "…; <this>". Such a login is not repeated either.
   */
  ifRefused?: string;
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
 */
export function remoteScript(
  name: string,
  args: RemoteScriptArgs,
  opts: pulumi.CustomResourceOptions,
): command.remote.Command {
  const { host } = args;
  const isProgram = (value: unknown) => value instanceof Program;
  const own = Object.entries(args.values ?? {});
  const programs = Object.fromEntries(own.filter(([, value]) => isProgram(value))) as Record<string, Program>;
  const values: Record<string, pulumi.Input<string>> = {
    HOST: hostLabel(host),
    OWNER: ownerId(),
    STACK_ID: host.stackId ?? "",
    // The record's file; find takes its path for a pattern, in which encodeURIComponent leaves the "*".
    RESOURCE: encodeURIComponent(args.record ?? name).replaceAll("*", "%2A"),
    WHAT: args.what,
    REVISION: host.revision ?? "",
    ...(Object.fromEntries(own.filter(([, value]) => !isProgram(value))) as Record<
      string,
      pulumi.Input<string>
    >),
  };
  const shell = shellFor(args);
  return new command.remote.Command(
    name,
    {
      connection: connectionFor(args),
      create: pulumi.interpolate`${shell} apply`,
      update: pulumi.interpolate`${shell} apply`,
      ...(args.removes === false ? {} : { delete: pulumi.interpolate`${shell} remove` }),
      stdin: pulumi
        .all(values)
        .apply((resolved) =>
          args.whole ? scriptText(args.script, resolved) : commandText(args.script, resolved, programs),
        ),
      addPreviousOutputInEnv: false,
      logging: command.remote.Logging.Stderr,
    },
    { hooks: hooksOf(name, args), ...opts },
  );
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

/** What scripts have in common, in the order in which it is read. `messages` and `lib` go before every script. */
export const scriptLibrary = [
  "messages",
  "lib",
  "printable",
  "record",
  "files",
  "lines",
  "sshFolder",
  "units",
  "status",
  "trial",
  "session",
  "strangers",
  "sshdAccess",
  "firewalls",
  "nftables",
] as const;

const isShared = (part: string) => (scriptLibrary as readonly string[]).includes(part);

/** The parts of the library that a script names in its line "# needs: …", and those that all have, unless it names `messages` itself. */
export function libraryOf(script: string): string[] {
  const needs = /^# needs: (.*)$/m.exec(readScript(script))?.[1]?.split(" ") ?? [];
  const all = needs.includes("messages") ? needs : ["messages", "lib", ...needs];
  return scriptLibrary.filter((part) => all.includes(part));
}

/** A script with all that it needs: a header of its values, the library, the script. `read` reads each part. */
export function scriptText(
  script: string,
  values: Record<string, string>,
  read = (name: string) => withoutComments(readScript(name)),
): string {
  return [headerOf(values), ...[...libraryOf(script), script].map(read)].join("");
}

/** What travels where the host has the tools: the header, and what reads the rest. */
export function commandText(
  script: string,
  values: Record<string, string>,
  programs: Record<string, Program>,
): string {
  const texts = Object.entries(programs);
  const text = [
    withoutComments(readScript(script)),
    ...texts.map(([, { name }]) => installedProgram(name)),
  ].join();
  const header = headerOf({
    ...values,
    PART: script,
    // So that a changed script runs again, though it does not travel.
    PART_HASH: createHash("sha256").update(text).digest("hex").slice(0, 16),
    TEXTS: texts.map(([variable, { name }]) => `${variable}=${name}`).join(" "),
  });
  return header + withoutComments(readScript("loader"));
}

function headerOf(values: Record<string, string>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}=${shellQuote(value)}\n`)
    .join("");
}

/** The state holds each text that travels, and the engine writes it anew at each step: a third of a script is comments. */
export function withoutComments(script: string): string {
  return script.replaceAll(/^[ \t]*#.*\n/gm, "");
}
