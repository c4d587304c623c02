import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { connectionAdvice, warningsOf } from "./connectionAdvice.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { hostLabel } from "./host.ts";
import type { Host } from "./host.ts";
import { knownOr } from "./knownOr.ts";
import { rootShells } from "./rootShell.ts";
import { Program, commandText, scriptText } from "./scriptText.ts";
import { keepWay } from "./ways.ts";
import type { KnownValues } from "./scriptText.ts";

/** One thing on a host: how a script applies it. */
export interface Part {
  /** The script: `parts/<script>/<script>.sh`, which defines `apply`. */
  script: string;
  /**
   * Its variables. They are sent on standard input, never on a command line or in the environment. The text of a
   * program is not sent, since the host has it among its tools.
   */
  values: Values;
}

/** Variables of a script, by name. */
export type Values = Record<string, pulumi.Input<string> | Program>;

/** Arguments of {@link remoteScript}. */
export interface RemoteScriptArgs {
  /** The host that it runs on. */
  host: Host;
  /** What it manages, in words; its messages say "unchanged: gate (198.18.0.2): the key pair of nas". */
  what: pulumi.Input<string>;
  /** What it applies, in this order. A removal undoes what is on record, latest first. */
  parts: Part[];
  /** Variables of the library, for all parts and for the removal. */
  values?: Values;
  /**
   * Whether its whole text is sent: it runs before the tools of the other scripts are installed, and has one part.
   * @default false
   */
  whole?: boolean;
  /**
   * The first script on the host, which checks the host: it runs as the admin, without sudo, and does not retry a
   * refused login.
   *
   * @default false
   */
  first?: boolean;
  /** Whether it has something to undo on delete. @default true */
  removes?: boolean;
  /** The name of its record on the host, which it may share with another script. @default its own name */
  record?: string;
  /**
   * Whether what is on record but no longer wanted stays until another script has confirmed its replacement and sweeps
   * it: all of it, or only what is wanted under another name now.
   *
   * @see settles
   * @default false
   */
  keepsStale?: boolean | "renamed";
  /** Whether it only undoes what is on record, at once. @default false */
  removesNow?: boolean;
  /** What scripts on the same host have kept, which is removed after everything else has been applied. @default none */
  settles?: Kept[];
  /** The records that a removal undoes, in this order. @default its own */
  undoes?: string[];
  /** What a refused login means for this script, for the advice: "…; <this>". Such a login is not retried either. */
  ifRefused?: string;
}

/**
 * What a script with `keepsStale` has kept: its record, and a token that changes whenever there is something to sweep.
 */
export interface Kept {
  record: string;
  token: pulumi.Output<string>;
}

/**
 * Runs one of our scripts on a host: `apply` on create and on update, `remove` on delete. This is the only place where
 * a command is created, so the rules for all of them are here:
 *
 * - Standard input has a header of quoted `NAME='value'` lines, and a few lines that read the script and its library
 *   from the host's tools (HostTools). The provider repeats the command line in its errors, but not standard input.
 * - `triggers` are never used: they replace, and the `remove` of the old one would undo the `apply` of the new one.
 * - `environment` is never used: it needs AcceptEnv on the server.
 *
 * Standard output is the script's result; messages are on standard error and visible while `pulumi up` runs.
 *
 * @param after what it waits for, in addition to what every script on its host waits for
 */
export function remoteScript(
  name: string,
  args: RemoteScriptArgs,
  { parent, after = [] }: { parent?: pulumi.Resource; after?: pulumi.Input<pulumi.Resource>[] } = {},
): command.remote.Command {
  const { host } = args;
  const connection = connectionFor(args);
  const opts: pulumi.CustomResourceOptions = {
    hooks: hooksOf(name, args),
    dependsOn: [...(host.after ?? []), ...after],
    ...(host.ways ? { transforms: [keepWay(host.ways, connection)] } : {}),
    ...(parent ? { parent } : {}),
  };
  // Without a command line, the provider connects to nothing, now and when it is deleted.
  if (host.gone) return new command.remote.Command(name, { connection }, opts);
  const values: Values = {
    HOST: hostLabel(host),
    OWNER: ownerId(),
    STACK_ID: host.stackId ?? "",
    RESOURCE: fileOf(args.record ?? name),
    WHAT: args.what,
    REVISION: host.revision ?? "",
    ...(args.keepsStale ? { STALE: args.keepsStale === true ? "keep" : args.keepsStale } : {}),
    ...(args.settles
      ? {
          SETTLES: args.settles.map(({ record }) => fileOf(record)).join(" "),
          TOKENS: pulumi
            .all(args.settles.map(({ token }) => token))
            .apply((all) => fingerprintOf(all.join())),
        }
      : {}),
    ...(args.undoes ? { RECORDS: args.undoes.map(fileOf).join(" ") } : {}),
    ...(host.drift ? { DRIFT: host.drift.apply((values) => values[args.record ?? name] ?? "") } : {}),
    ...args.values,
  };
  const common = known(values);
  const parts = args.parts.map((part) => ({ script: part.script, ...known(part.values) }));
  const shell = shellFor(args);
  const verb = args.removesNow ? "remove" : "apply";
  const script = new command.remote.Command(
    name,
    {
      connection,
      create: pulumi.interpolate`${shell} ${verb}`,
      update: pulumi.interpolate`${shell} ${verb}`,
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
    opts,
  );
  host.report?.add(script);
  return script;
}

/** The record's file. find interprets its path as a pattern, and encodeURIComponent does not encode the "*". */
const fileOf = (record: string) => encodeURIComponent(record).replaceAll("*", "%2A");

/**
 * What a script has kept, from its output. In a preview in which it is to run again, nothing: whatever changes it also
 * changes the script that settles it.
 */
export function keptBy(record: string, stdout: pulumi.Output<string>): Kept {
  const token = knownOr(pulumi.output(""), stdout).apply(
    (text) => /^token ([0-9a-f-]{36})$/m.exec(text)?.[1] ?? "",
  );
  return { record, token };
}

/**
 * The inputs among the values, once they are known, and the programs, which an Output would convert to plain objects.
 */
function known(values: Values): { inputs: pulumi.Output<Record<string, string>>; programs: KnownValues } {
  const isProgram = ([, value]: [string, unknown]) => value instanceof Program;
  const all = Object.entries(values);
  const inputs = all.filter((entry) => !isProgram(entry)) as [string, pulumi.Input<string>][];
  return {
    inputs: pulumi.all(Object.fromEntries(inputs)),
    programs: Object.fromEntries(all.filter(isProgram)) as Record<string, Program>,
  };
}

/** The command line to which the verb is added. The admin's own PATH may be useless; root's is left as it is. */
function shellFor({ host, first }: RemoteScriptArgs): pulumi.Output<string> {
  return pulumi.output(host.connection.user).apply((user = "root") => {
    if (user === "root") return pulumi.output("sh -s --");
    return pulumi.output(first ? "/bin/sh -s --" : (host.rootShell ?? rootShells[0]));
  });
}

/**
 * How often a login is tried. The first script on a host, which all others wait for, tries only twice more, at once,
 * because fail2ban counts refused logins. For the other scripts, the login has already worked; what refuses them is
 * sshd's MaxStartups, which drops connections at random while ten are logging in. If a tunnel restarts, the provider
 * would retry a connection through it that is already dead; there, the error hook retries from the beginning.
 */
function connectionFor({ host, first, ifRefused }: RemoteScriptArgs): Host["connection"] {
  const doubtful = first || ifRefused !== undefined || host.throughTunnel !== undefined;
  return { ...host.connection, dialErrorLimit: host.connection.dialErrorLimit ?? (doubtful ? 2 : 10) };
}

function hooksOf(name: string, { host, ifRefused }: RemoteScriptArgs): pulumi.ResourceHookBinding {
  const warnings = [warningsOf(name, host)];
  return { onError: [connectionAdvice(name, host, ifRefused)], afterCreate: warnings, afterUpdate: warnings };
}

/**
 * The project and stack that the things on a host belong to, as a file name: `ssh-reverse-tunnel-dev`.
 *
 * Two stacks may have the same name: those of two Pulumi states, or "c" of the project "a-b" and "b-c" of "a".
 * {@link Host.stackId} distinguishes them, so that the second one is refused.
 */
export function ownerId(): string {
  return ownerOf(pulumi.getProject(), pulumi.getStack());
}

/** {@link ownerId} of a project and a stack, outside of a program. */
export function ownerOf(project: string, stack: string): string {
  return `${project}-${stack}`.replaceAll(/[^A-Za-z0-9._-]/g, "_");
}
