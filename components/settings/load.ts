import * as pulumi from "@pulumi/pulumi";
import type { z } from "zod";
import type { AdminConnection } from "./adminConnection.ts";
import { adminConnection, throughTunnel } from "./adminConnection.ts";
import { deadAgents } from "./agents.ts";
import { isMap, placeOf, withDefaults } from "./defaults.ts";
import type { ManagedHost, StackOutputs } from "./managedBy.ts";
import { managingStacks, withManagedHosts } from "./managedBy.ts";
import type { SettingsError } from "./rules.ts";
import { checkSettings, lookUp } from "./rules.ts";
import type { ForwardArgs } from "./forward.ts";
import { probeAddress } from "./forward.ts";
import type { SshConfig } from "./sshConfig.ts";
import { loginFrom, readSshConfig } from "./sshConfig.ts";
import type { Host } from "../remote/host.ts";
import { printable } from "../remote/printable.ts";
import { readStackOutputs } from "../remote/stackState.ts";
import type { Settings } from "./schema.ts";
import { internalHostSchema, isSshName, publicHostSchema, settingsSchema } from "./schema.ts";
import type { Tunnel, Way } from "./tunnels.ts";
import { isEnabled, tunnelsOf, waysOf } from "./tunnels.ts";
import type { ThroughTunnel } from "../remote/ways.ts";

type WithConnection<T extends { admin: unknown }> = Omit<T, "admin"> & { connection: Host["connection"] };

/** The settings in the form that components need: an admin connection instead of the admin's settings. */
export interface Config {
  publicHosts: Record<
    string,
    WithConnection<Omit<Settings["publicHosts"][string], "managedBy">> & {
      /** What is known about it if another stack manages it. */
      managed?: ManagedHost | undefined;
    }
  >;
  internalHosts: Record<
    string,
    Pick<Settings["internalHosts"][string], "address" | "toolsDirectory" | "namespaces" | "gone"> & {
      connection: Host["connection"];
      /** Whether nothing is done on the host now. */
      skip: boolean;
      /** The public host whose tunnel the connection uses; several, if it may use any of them. */
      throughTunnel: string | undefined;
      /** The name of the tunnel, if there is only one way. */
      tunnel: string | undefined;
      /** All its ways through tunnels, in the order in which they are tried. */
      ways: ThroughTunnel[];
    }
  >;
  /** The tunnels, by name. */
  tunnels: Record<
    string,
    Omit<Tunnel["settings"], "forwards"> &
      Pick<Settings["internalHosts"][string], "address" | "textfileDirectory"> & {
        forwards: Record<string, ForwardArgs>;
        internalHost: string;
        publicHost: string;
      }
  >;
  drift: boolean;
  revision: string;
}

/**
 * Reads the stack's configuration and checks all of it before anything runs. Throws one error that lists every mistake
 * on its own line: where it is, what was found, what is allowed.
 */
export async function loadConfig(): Promise<Config> {
  const config = new pulumi.Config();
  const settings = readSettings((key) => config.get(key));
  return parseConfig(
    settings,
    ({ publicHosts, internalHosts }) =>
      deadAgents(mapValues({ ...publicHosts, ...internalHosts }, ({ connection }) => connection)),
    await readStacks(settings, readStackOutputs),
  );
}

/** The outputs of the stacks that manage public hosts of these settings, by the names that the settings have for them. */
export async function readStacks(
  raw: Record<string, unknown>,
  read: (stack: string) => Promise<StackOutputs>,
): Promise<Record<string, StackOutputs>> {
  const names = managingStacks(withDefaults(raw));
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await read(name)] as const)));
}

/**
 * {@link loadConfig} for plain values.
 *
 * @param more further mistakes that the program would run into
 * @param stacks what {@link readStacks} has read
 */
export function parseConfig(
  raw: Record<string, unknown>,
  more: (config: Config) => string[] = () => [],
  stacks: Record<string, StackOutputs> = {},
): Config {
  const { settings: filled, managed, mistakes: ofOthers } = withManagedHosts(withDefaults(raw), stacks);
  const { settings: merged, ssh, mistakes } = withSshConfig(filled);
  const given: Given = { raw, merged, ssh, managed };
  const parsed = settingsSchema.safeParse(merged);
  const errors = [...ofOthers, ...mistakes].map(({ path, message }) => describe(path, given, message));
  errors.push(...(parsed.error?.issues.flatMap((issue) => describeIssue(issue, given)) ?? []));
  errors.push(...findPrototypes(raw).map(noSuchSetting));
  // Mistakes elsewhere do not prevent checks of the rules between settings that are valid.
  const settings = parsed.data ?? withoutInvalid(merged, parsed.error?.issues ?? []);
  const found = checkAndConnect(settings, given);
  errors.push(...found.errors, ...more(found.config));
  if (errors.length > 0) {
    // What is wrong with a default is wrong in each host that has it.
    throw settingsError([...new Set(errors)]);
  }
  return found.config;
}

/** The settings as they were given. */
interface Given {
  /** As the stack has them. */
  raw: Record<string, unknown>;
  /** With the defaults, and with what ssh's configuration adds. */
  merged: Record<string, unknown>;
  /** By kind and name of a host: what ssh's configuration has for it; undefined if it cannot be read. */
  ssh: Map<string, SshConfig | undefined>;
  /** By name of a public host: what the stack that manages it says about it. */
  managed: Map<string, ManagedHost>;
}

/** Fills in what ssh's configuration has for each host whose admin connection names it. */
function withSshConfig(raw: Record<string, unknown>): {
  settings: Record<string, unknown>;
  ssh: Given["ssh"];
  mistakes: SettingsError[];
} {
  const ssh: Given["ssh"] = new Map();
  const mistakes: SettingsError[] = [];
  const fill = (kind: string, name: string, host: unknown): unknown => {
    if (!isMap(host) || !isMap(host.admin)) return host;
    const { admin } = host;
    const path = [kind, name, "admin", "ssh"];
    if (!isSshName(admin.ssh)) return host;
    // Before anything else can fail: the host's other mistakes are reported as well.
    let found: SshConfig | undefined;
    try {
      found = readSshConfig(admin.ssh, admin.throughTunnel !== undefined || admin.bastion !== undefined);
    } catch (error) {
      mistakes.push({ path, message: (error as Error).message });
    }
    ssh.set(`${kind}.${name}`, found);
    if (!found) return { ...host, address: host.address ?? admin.ssh };
    const { address, port, user, bastion } = found;
    const jump = bastion && { address: bastion.address, port: bastion.port, user: bastion.user };
    return {
      ...host,
      address: host.address ?? address,
      admin: { address, port, user, ...(jump ? { bastion: jump } : {}), ...admin },
    };
  };
  const filled = ["publicHosts", "internalHosts"].flatMap((kind): [string, unknown][] => {
    const hosts = raw[kind];
    return isMap(hosts) ? [[kind, mapValues(hosts, (host, name) => fill(kind, name, host))]] : [];
  });
  return { settings: { ...raw, ...Object.fromEntries(filled) }, ssh, mistakes };
}

function checkAndConnect(settings: Settings, given: Given): { config: Config; errors: string[] } {
  const { merged } = given;
  const names = isMap(merged.publicHosts) ? Object.keys(merged.publicHosts) : [];
  const errors = checkSettings(settings, names).map(({ path, message }) => describe(path, given, message));
  const connect = (
    kind: string,
    name: string,
    host: {
      address: string;
      admin: Omit<AdminConnection, "address"> & { ssh?: string | undefined };
      managedBy?: string | undefined;
    },
  ): Host["connection"] => {
    const { ssh, ...admin } = host.admin;
    const found = given.ssh.get(`${kind}.${name}`);
    const failed = { host: host.address };
    if (ssh !== undefined && !found) return failed;
    if (host.managedBy !== undefined && !given.managed.has(name)) return failed;
    try {
      const own = { address: host.address, ...admin };
      if (!found) return adminConnection(name, own);
      const { bastion } = own;
      return adminConnection(name, {
        ...loginFrom(found, own),
        ...own,
        ...(bastion ? { bastion: { ...(found.bastion ? loginFrom(found.bastion) : {}), ...bastion } } : {}),
      });
    } catch (error) {
      errors.push(`${placeOf([kind, name, "admin"], given.raw).join(".")}: ${(error as Error).message}`);
      return failed;
    }
  };
  const publicHosts = mapValues(settings.publicHosts, ({ admin, managedBy, ...rest }, name) => ({
    ...rest,
    managed: given.managed.get(name),
    connection: connect("publicHosts", name, { ...rest, admin, managedBy }),
  }));
  const tunnels = Object.entries(settings.internalHosts).flatMap(([name, host]) =>
    tunnelsOf(name, host, names),
  );
  const internalHosts = mapValues(settings.internalHosts, (host, name) => {
    const { address, toolsDirectory, namespaces, gone } = host;
    const connection = connect("internalHosts", name, host);
    const present = tunnels.filter(
      (tunnel) =>
        tunnel.internalHost === name &&
        isEnabled(tunnel) &&
        !lookUp(publicHosts, tunnel.publicHost ?? "")?.gone,
    );
    const ways = waysOf(name, host, present)
      .flatMap((entry) => entry.ways)
      .filter((way, index, all) => all.findIndex((other) => isSame(way, other)) === index)
      .flatMap((way) => connectThrough(connection, publicHosts, way));
    const ends = [...new Set(ways.map(({ publicHost }) => publicHost))];
    return {
      ...{ address, toolsDirectory, namespaces, gone },
      // Nothing else leads to it.
      skip: host.skip || (ways.length > 0 && ways.every((way) => way.skip)),
      connection: (ways.find((way) => !way.skip) ?? ways[0])?.connection ?? connection,
      throughTunnel: ends.length > 0 ? ends.join(" or ") : undefined,
      tunnel: ways.length === 1 ? ways[0]!.tunnel : undefined,
      ways: gone ? [] : ways,
    };
  });
  const config: Config = {
    publicHosts,
    internalHosts,
    tunnels: Object.fromEntries(
      tunnels.map(({ name, internalHost, publicHost = "", settings: { forwards = {}, ...rest } }) => {
        const { address, textfileDirectory } = settings.internalHosts[internalHost]!;
        const { keys = settings.keys } = rest;
        return [name, { ...rest, keys, address, textfileDirectory, forwards, internalHost, publicHost }];
      }),
    ),
    drift: settings.drift,
    revision: settings.revision,
  };
  return { config, errors };
}

const isSame = (one: Way, other: Way) => one.tunnel === other.tunnel && one.forward === other.forward;

/** If something is missing, checkSettings has already reported it. */
function connectThrough(
  inside: Host["connection"],
  publicHosts: Config["publicHosts"],
  { tunnel, forward }: Way,
): ThroughTunnel[] {
  const { connection: outside, skip = false } = lookUp(publicHosts, tunnel.publicHost ?? "") ?? {};
  if (forward.remotePort === "auto" || !tunnel.publicHost || !outside || outside.proxy) return [];
  const listener = { address: probeAddress(forward), port: forward.remotePort };
  const connection = throughTunnel(inside, outside, listener);
  return [{ tunnel: tunnel.name, publicHost: tunnel.publicHost, connection, skip }];
}

/** The settings without the forwards, logins back and hosts that have a mistake. */
function withoutInvalid(raw: Record<string, unknown>, issues: z.core.$ZodIssue[]): Settings {
  const rest = structuredClone(raw) as Record<
    string,
    Record<string, Record<string, Record<string, unknown>>>
  >;
  for (const issue of issues) {
    const [kind = "", host = "", key = "", entry] = issue.path.map(String);
    if (issue.code === "unrecognized_keys") {
      const holder = valueAt(rest, issue.path as (string | number)[]) as Record<string, unknown>;
      issue.keys.forEach((unknown) => delete holder[unknown]);
    } else if (entry !== undefined && (key === "forwards" || key === "logins")) {
      delete rest[kind]?.[host]?.[key]?.[entry];
      // Either may use a forward that is left out here.
      delete rest[kind]?.[host]?.logins;
      delete rest[kind]?.[host]?.admin?.throughTunnel;
    } else {
      delete rest[kind]?.[host];
    }
  }
  const valid = <T extends z.ZodType>(schema: T, hosts: unknown): Record<string, z.output<T>> =>
    Object.fromEntries(
      Object.entries(hosts ?? {}).flatMap(([name, host]) => {
        const { success, data } = schema.safeParse(host);
        return success ? [[name, data]] : [];
      }),
    );
  return {
    publicHosts: valid(publicHostSchema, rest.publicHosts),
    internalHosts: valid(internalHostSchema, rest.internalHosts),
    drift: false,
    revision: "",
  };
}

/** Applies a function to each value of a record. */
export function mapValues<T, U>(
  record: Record<string, T>,
  map: (value: T, key: string) => U,
): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}

/** Settings that are any text. */
export const textSettings = ["revision", "keys"];

/** The settings that there are, as values. `get` finds the text of one, as `pulumi.Config` does. */
export function readSettings(get: (key: string) => string | undefined): Record<string, unknown> {
  const keys = Object.keys(settingsSchema.shape);
  const raw = keys.map((key): [string, unknown] => [key, valueOf(key, get(key))]);
  return Object.fromEntries(raw.filter(([, value]) => value !== undefined));
}

/** A structured setting; `revision` and `keys` are text, whatever they look like. */
function valueOf(key: string, text: string | undefined): unknown {
  if (text === undefined || textSettings.includes(key)) {
    return text;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function settingsError(lines: string[]): pulumi.RunError {
  const count = lines.length === 1 ? "one mistake" : `${lines.length} mistakes`;
  const error = new pulumi.RunError(
    `the settings have ${count}; nothing was changed:\n${lines.map((line) => `  ${printable(line, 2000)}`).join("\n")}\nEvery setting is described in docs/settings.md.`,
  );
  // A RunError is shown without its stack, but Node 20 still takes half a minute to colour it.
  error.stack = error.message;
  return error;
}

function describeIssue(issue: z.core.$ZodIssue, given: Given): string[] {
  const path = issue.path as (string | number)[];
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => noSuchSetting(placeOf([...path, key], given.raw)));
  }
  return [describe(path, given, issue.message)];
}

function noSuchSetting(path: (string | number)[]): string {
  return `${path.join(".")}: there is no such setting; remove it, or correct its name`;
}

/** Where something is called `__proto__`, which JSON allows and zod silently ignores. */
function findPrototypes(value: unknown, path: string[] = []): string[][] {
  return Object.entries(typeof value === "object" ? (value ?? {}) : {}).flatMap(([key, inner]) =>
    key === "__proto__" ? [[...path, key]] : findPrototypes(inner, [...path, key]),
  );
}

/** Settings whose values are not shown. */
const secrets = ["privateKey", "passphrase", "password", "secret"];

/** Also a `notify` that is only the address of a webhook. */
const isSecret = (key: string, value: unknown) =>
  secrets.includes(key) || (key === "notify" && typeof value === "string");

function describe(path: (string | number)[], { raw, merged }: Given, message: string): string {
  const found = valueAt(merged, path);
  const secret = path.some((key) => isSecret(String(key), found));
  return `${placeOf(path, raw).join(".")}: found ${secret && found !== undefined ? "a secret" : show(found)}; ${message}`;
}

/** A value as the user wrote it, without its secrets. */
function show(found: unknown): string {
  const text = JSON.stringify(found, (key, value: unknown) =>
    isSecret(key, value)
      ? "a secret"
      : // a password in a URL, which no setting has
        typeof value === "string"
        ? value.replace(/\/\/[^/]*@/, "//…@")
        : value,
  );
  return text === undefined ? "nothing" : text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function valueAt(raw: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<string | number, unknown> | undefined)?.[key],
    raw,
  );
}
