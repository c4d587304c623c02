/** The state of every tunnel of a stack, as its hosts report it: `npm run status`. */
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { Config } from "../components/settings/load.ts";
import type { Ending } from "../components/remote/askHost.ts";
import { askAll, askHost } from "../components/remote/askHost.ts";
import type { Host } from "../components/remote/host.ts";
import { printable } from "../components/remote/printable.ts";
import { sshCommand } from "../components/remote/sshCommand.ts";
import type { Say, ToolOptions } from "./stackSettings.ts";
import { json, reachable, runTool, sayHere, sayWaiting, settingsOf } from "./stackSettings.ts";
import { Screen, watchAll } from "./watch.ts";

const usage = `usage: npm run status -- [--stack NAME] [--json] [--watch [SECONDS]]

Asks each host of the stack, over its admin connection, how its tunnels are.

  --stack NAME  the stack; else the one that is selected
  --json        for programs; docs/monitoring.md has the fields
  --watch       goes on until Ctrl-C, over one connection to each host; every 10 seconds, or SECONDS

Exit status: 0 all are up, disabled or skipped, 1 one is not, or a host did not answer, 2 wrong usage or settings.`;

/** A host of the stack, and its tunnels that belong to the stack. */
export interface AskedHost {
  name: string;
  connection: Host["connection"];
  /** Without those of an internal host that is skipped. */
  tunnels: string[];
  /** Whether the settings say so; it is then not asked. */
  skipped?: boolean;
}

/** The output of a host goes to a terminal, so only plain text is allowed. */
const plain = z.string().refine((text) => text === printable(text));
const time = z.iso.datetime().nullable();
const state = z.enum(["up", "down", "unknown", "disabled"]);
const forward = z.object({
  forward: plain,
  listens: plain.nullable(),
  leadsTo: plain.nullable(),
  state,
  since: time,
  lastGood: time,
  reason: plain.nullable(),
  code: plain.nullable(),
});
const tunnel = z.object({
  tunnel: plain,
  side: z.enum(["internal", "public"]),
  state,
  checked: time,
  intervalSec: z.number().nullable(),
  // Absent on a host whose program is an earlier one.
  keyCreated: time.default(null),
  service: z
    .object({
      state: plain,
      pid: z.number().nullable(),
      connectedSince: time,
      restarts: z.number().nullable().default(null),
    })
    .nullable(),
  connection: z
    .object({
      connectedSince: time,
      lastConnected: time,
      address: plain.nullable(),
      attemptsSince: z.number().nullable(),
      lastAttempt: time,
    })
    .nullable()
    .default(null),
  forwards: z.array(forward),
});
/** The output of ssh-tunnel-status --json. */
const answer = z.object({
  host: plain,
  time,
  tunnels: z.array(tunnel),
  failedNotifications: z.array(plain).default([]),
});

/** The result for one host. */
export interface HostStatus {
  host: string;
  address: string;
  /** Why the result is missing or incomplete; null if it is complete. */
  error: string | null;
  /** Whether the settings say so; it was then not asked. */
  skipped?: boolean;
  tunnels: z.infer<typeof tunnel>[];
  /** The units whose notifications do not get through. */
  failedNotifications?: string[];
}

type Asked = Pick<Config, "publicHosts" | "tunnels"> & {
  internalHosts: Record<string, { connection: Host["connection"]; skip: boolean; gone: boolean }>;
};

/** The hosts in the settings at which a tunnel begins or ends. */
export function hostsOf({ publicHosts, internalHosts, tunnels }: Asked): AskedHost[] {
  const all = Object.entries(tunnels).filter(
    ([, { publicHost, internalHost }]) =>
      !publicHosts[publicHost]?.gone && !internalHosts[internalHost]?.gone,
  );
  const outside = Object.entries(publicHosts).map(([name, { connection, skip }]) => ({
    name,
    connection,
    ...(skip ? { skipped: true } : {}),
    tunnels: all
      .filter(([, tunnel]) => tunnel.publicHost === name && !internalHosts[tunnel.internalHost]?.skip)
      .map(([tunnelName]) => tunnelName),
  }));
  const inside = Object.entries(internalHosts).map(([name, { connection, skip }]) => ({
    name,
    connection,
    ...(skip ? { skipped: true } : {}),
    tunnels: all.filter(([, tunnel]) => tunnel.internalHost === name).map(([tunnelName]) => tunnelName),
  }));
  return [...outside, ...inside].filter(({ tunnels, skipped }) => tunnels.length > 0 || skipped);
}

/** Parses a host's answer. */
export function statusOf(host: AskedHost, address: string, { code, stdout, stderr }: Ending): HostStatus {
  // A login shell may have printed a greeting first.
  const line = stdout.split("\n").findLast((each) => each.startsWith('{"host":')) ?? "";
  const found = answer.safeParse(code === 0 || code === 1 || code === 2 ? json(line) : undefined);
  const said = printable(stderr.trim().split("\n").at(-1) ?? "");
  const nothing = (error: string): HostStatus => ({ host: host.name, address, error, tunnels: [] });
  if (found.success) {
    const missing = host.tunnels.filter((name) => !found.data.tunnels.some((each) => each.tunnel === name));
    const error = missing.length > 0 ? `does not have ${missing.join(", ")}: run 'pulumi up'` : null;
    const { tunnels, failedNotifications } = found.data;
    return {
      ...{ ...nothing(""), error, tunnels },
      ...(failedNotifications.length > 0 && { failedNotifications }),
    };
  }
  if (code === null) return nothing("did not answer in 30 s");
  if (code === 255) return nothing(`cannot be reached: ${said}`);
  if (code === 127) return nothing("does not have ssh-tunnel-status yet: run 'pulumi up'");
  return nothing(`gave an unexpected answer: ${said || printable(stdout.slice(0, 80))}`);
}

const errorsOf = (hosts: HostStatus[]) =>
  hosts.flatMap(({ host, address, error }) => (error ? [`${host} (${address}) ${error}`] : []));

/**
 * The table, and a sentence for each host that did not answer: below it, where one looks on a terminal, or above it where
 * the terminal may be too small for all of it.
 */
export function tableOf(hosts: HostStatus[], { now = Date.now(), watched = false } = {}): string {
  const date = (text: string | null) => text?.replace("T", " ") ?? "-";
  const rows = hosts.flatMap(({ host, tunnels }) =>
    tunnels.flatMap((each) =>
      (each.forwards.length > 0
        ? each.forwards
        : [each.state === "disabled" ? { ...unknown, state: "disabled", reason: null } : notChecked]
      ).map((one) => [
        ...[host, each.tunnel, one.forward, one.listens ?? "-", one.leadsTo ?? "-", one.state],
        ...[date(one.since), age(one.lastGood, now), one.reason ?? ""],
      ]),
    ),
  );
  const heads = ["HOST", "TUNNEL", "FORWARD", "LISTENS", "LEADS TO", "STATE", "SINCE", "LAST GOOD", ""];
  const widths = heads.map((_, column) => Math.max(...[heads, ...rows].map((row) => row[column]!.length)));
  const line = (row: string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd();
  const services = hosts.flatMap(({ host, tunnels }) =>
    tunnels.flatMap(({ tunnel: name, service, keyCreated }) =>
      service
        ? [
            `${host}: ssh-tunnel-${name}.service is ${service.state}` +
              (service.pid === null ? "" : `, pid ${service.pid}`) +
              (service.connectedSince === null ? "" : `, connected since ${date(service.connectedSince)}`) +
              (keyCreated === null ? "" : `, key made ${age(keyCreated, now)}`),
          ]
        : keyCreated === null
          ? []
          : [`${host}: logins to ${name}: oldest key made ${age(keyCreated, now)}`],
    ),
  );
  const connections = hosts.flatMap(({ host, tunnels }) =>
    tunnels.flatMap(({ tunnel: name, connection }) =>
      connection ? [`${host}: ${name}: ${wordsFor(connection, now)}`] : [],
    ),
  );
  const silent = hosts.flatMap(({ host, failedNotifications = [] }) =>
    failedNotifications.map((unit) => `${host}: notifications fail; see journalctl -u ${unit} there`),
  );
  const skipped = hosts.filter((host) => host.skipped).map(({ host }) => `${host}: skipped`);
  return [
    ...(watched ? errorsOf(hosts) : []),
    ...(rows.length > 0 ? [heads, ...rows].map(line) : []),
    ...services,
    ...connections,
    ...skipped,
    ...silent,
    ...(watched ? [] : errorsOf(hosts)),
  ].join("\n");
}

/** What the public host knows of a tunnel's connection. */
function wordsFor(connection: NonNullable<z.infer<typeof tunnel>["connection"]>, now: number): string {
  const { connectedSince, lastConnected, address, attemptsSince, lastAttempt } = connection;
  const date = (text: string) => text.replace("T", " ");
  const from = address === null ? "" : ` from ${address}`;
  if (connectedSince !== null) return `connected since ${date(connectedSince)}${from}`;
  const last =
    lastConnected === null ? "no connection is known" : `last connected ${date(lastConnected)}${from}`;
  if (attemptsSince === null) return last;
  if (attemptsSince === 0) return `${last}; no attempt to log in since`;
  return `${last}; ${attemptsSince} attempt${attemptsSince === 1 ? "" : "s"} since, the last ${age(lastAttempt, now)}`;
}

const unknown = { forward: "-", listens: null, leadsTo: null, state: "unknown", since: null, lastGood: null };
const notChecked = { ...unknown, reason: "it has not been looked at yet" };

function age(text: string | null, now: number): string {
  if (text === null) return "-";
  const seconds = Math.max(0, Math.round((now - Date.parse(text)) / 1000));
  const units = [
    [172_800, 86_400, "d"],
    [7_200, 3_600, "h"],
    [120, 60, "min"],
  ] as const;
  const [, size, unit] = units.find(([least]) => seconds >= least) ?? [0, 1, "s"];
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

/** 0 if everything is up, otherwise 1. */
export function exitStatusOf(hosts: HostStatus[]): number {
  const isUp = ({ error, tunnels }: HostStatus) =>
    !error && tunnels.every((each) => each.state === "up" || each.state === "disabled");
  return hosts.every(isUp) ? 0 : 1;
}

/** What prints the state of the host's tunnels there. */
function statusCommand({ tunnels }: AskedHost): string {
  return ["env PATH=/usr/local/bin:/opt/bin:/usr/bin:/bin ssh-tunnel-status", "--json", ...tunnels].join(" ");
}

async function ask(host: AskedHost, folder: string): Promise<HostStatus> {
  if (host.skipped) {
    const { address } = await sshCommand(host.connection, mkdtempSync(join(folder, "host-")));
    return { host: host.name, address, error: null, skipped: true, tunnels: [] };
  }
  const { address, ending } = await askHost(host.connection, folder, statusCommand(host));
  return statusOf(host, address, ending);
}

/** Asks all hosts of a stack. */
export async function statusOfStack(stack: string, say: Say): Promise<HostStatus[]> {
  return askAll(await hostsOfStack(stack, say), ask, sayWaiting(say));
}

/** By default, those of the stack that is selected in this folder. */
async function hostsOfStack(stack: string | undefined, say: Say): Promise<AskedHost[]> {
  const { config } = await settingsOf("status", stack);
  return hostsOf({ ...config, internalHosts: await reachable(config.internalHosts, say) });
}

async function main(options: ToolOptions): Promise<number> {
  const hosts = await hostsOfStack(options.stack, sayHere);
  if (options.watch !== undefined) return watch(hosts, options.watch, options.json ?? false);
  const all = await askAll(hosts, ask, sayWaiting(sayHere));
  console.log(options.json ? JSON.stringify({ hosts: all }, undefined, 2) : tableOf(all));
  return exitStatusOf(all);
}

async function watch(hosts: AskedHost[], seconds: number, asJson: boolean): Promise<number> {
  const screen = asJson ? undefined : new Screen();
  const head = () => `${rfc3339(Date.now())}, every ${seconds} s; Ctrl-C ends\n\n`;
  const all = await watchAll(hosts, seconds, { command: statusCommand, statusOf }, (now, inTime) => {
    if (screen) screen.show(head() + tableOf(now, { watched: true }), inTime);
    else if (inTime) console.log(JSON.stringify({ hosts: now }));
  });
  screen?.close();
  if (screen) console.log(tableOf(all));
  return exitStatusOf(all);
}

const rfc3339 = (time: number) => new Date(time).toISOString().replace("T", " ").replace(/\.\d+/, "");

if (process.argv[1] === import.meta.filename) await runTool("status", usage, main, { canWatch: true });
