import * as pulumi from "@pulumi/pulumi";
import type { z } from "zod";
import type { AdminConnection } from "./adminConnection.ts";
import { adminConnection } from "./adminConnection.ts";
import { checkSettings, publicHostOf } from "./checkSettings.ts";
import type { Host } from "./host.ts";
import type { Settings } from "./settings.ts";
import { settingsSchema } from "./settings.ts";

type WithConnection<T extends { admin: unknown }> = Omit<T, "admin"> & { connection: Host["connection"] };

/** The settings as components take them: an admin connection in place of the admin's settings. */
export interface Config {
  publicHosts: Record<string, WithConnection<Settings["publicHosts"][string]>>;
  internalHosts: Record<
    string,
    WithConnection<Settings["internalHosts"][string]> & { publicHost: string }
  >;
  revision: string;
}

/**
 * Reads the stack's configuration and checks it as a whole before anything runs. Throws one error that holds every
 * mistake, a line each: where it is, what was found, what is allowed.
 */
export function loadConfig(): Config {
  const config = new pulumi.Config();
  const keys = Object.keys(settingsSchema.shape);
  const raw = Object.fromEntries(keys.map((key) => [key, readSetting(config, key)]).filter(([, value]) => value !== undefined));
  return parseConfig(raw as Record<string, unknown>);
}

/** {@link loadConfig} on plain values. */
export function parseConfig(raw: Record<string, unknown>): Config {
  const parsed = settingsSchema.safeParse(raw, { reportInput: true });
  if (!parsed.success) {
    throw settingsError(parsed.error.issues.map((issue) => describeIssue(issue, raw)));
  }
  const settings = parsed.data;
  const errors = checkSettings(settings).map(({ path, message }) => describe(path, valueAt(raw, path), message));
  const connect = (kind: "publicHosts" | "internalHosts", name: string): Host["connection"] => {
    const { address, admin } = settings[kind][name]!;
    try {
      return adminConnection(name, { address, ...admin } as AdminConnection);
    } catch (error) {
      errors.push(`${kind}.${name}.admin: ${(error as Error).message}`);
      return { host: address };
    }
  };
  const publicHosts = mapValues(settings.publicHosts, ({ admin: _, ...rest }, name) => ({
    ...rest,
    connection: connect("publicHosts", name),
  }));
  const internalHosts = mapValues(settings.internalHosts, ({ admin: _, ...rest }, name) => ({
    ...rest,
    connection: connect("internalHosts", name),
    publicHost: publicHostOf(settings, name) ?? "",
  }));
  if (errors.length > 0) {
    throw settingsError(errors);
  }
  return { publicHosts, internalHosts, revision: settings.revision };
}

/** Applies a function to each value of a record. */
export function mapValues<T, U>(record: Record<string, T>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}

/** A structured setting, or a plain text. */
function readSetting(config: pulumi.Config, key: string): unknown {
  const text = config.get(key);
  if (text === undefined) {
    return undefined;
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function settingsError(lines: string[]): pulumi.RunError {
  const count = lines.length === 1 ? "one mistake" : `${lines.length} mistakes`;
  // A RunError is shown without a stack trace.
  return new pulumi.RunError(
    `the settings have ${count}; nothing was changed:\n${lines.map((line) => `  ${line}`).join("\n")}\nEvery setting is described in docs/settings.md.`,
  );
}

function describeIssue(issue: z.core.$ZodIssue, raw: unknown): string {
  const path = issue.path as (string | number)[];
  if (issue.code === "unrecognized_keys") {
    return issue.keys
      .map((key) => `${[...path, key].join(".")}: there is no such setting; remove it, or correct its name`)
      .join("\n  ");
  }
  return describe(path, valueAt(raw, path), issue.message);
}

/** Settings whose values are not shown. */
const secrets = ["privateKey", "privateKeyPassword", "password"];

function describe(path: (string | number)[], found: unknown, message: string): string {
  const secret = path.some((key) => secrets.includes(String(key)));
  const shown = found === undefined ? "nothing" : secret ? "a secret" : shorten(JSON.stringify(found));
  return `${path.join(".")}: found ${shown}; ${message}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function valueAt(raw: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], raw);
}
