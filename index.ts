import * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";
import type { KeptComponent, StateTunnel } from "./components/keptState.ts";
import { KeptState } from "./components/keptState.ts";
import type { HostLook } from "./components/remote/look.ts";
import { hostsToLookAt, lookForDrift } from "./components/remote/look.ts";
import { leaveBehind } from "./components/reverseTunnel.ts";
import { chooseWays } from "./components/remote/ways.ts";
import { RunReport } from "./components/remote/runReport.ts";
import { loadConfig, mapValues } from "./components/settings/load.ts";

/** A host, or what is kept of it. */
type SetUp = PublicHost | InternalHost | KeptComponent | undefined;

/** The program: settings → components → outputs. With `drift: true`, it looks at the hosts before that. */
export default async function program() {
  const { revision, drift, ...config } = loadConfig();
  const settings = { ...config, internalHosts: await chooseWays(config.internalHosts, drift) };
  const hosts = { ...settings.publicHosts, ...settings.internalHosts };
  const looks: Record<string, HostLook> = drift ? await lookForDrift(hostsToLookAt(hosts)) : {};
  const skipped = Object.keys(hosts).filter((name) => hosts[name]!.skip);
  const state = Object.values(hosts).some(({ skip, gone }) => skip || gone)
    ? await KeptState.read()
    : undefined;
  const before = state?.tunnels() ?? [];
  // All that has something on a skipped host stays as it is, whatever the settings say now.
  const kept = before.filter(({ name, hosts: ends }) => {
    const now = settings.tunnels[name];
    return [...ends, now?.internalHost, now?.publicHost].some((end) => skipped.includes(end ?? ""));
  });
  const report = new RunReport(skipped);
  // Distinguishes this stack from one of the same name in another state.
  const stackId = new random.RandomId("stack-id", { byteLength: 8 }).hex;
  const common = { revision, stackId, trialSec: trialSecFor(hosts) };

  const publicHosts = mapValues(settings.publicHosts, ({ skip, ...host }, name) =>
    skip
      ? state?.keep("PublicHost", name)
      : new PublicHost(name, { ...host, ...common, look: looks[name], report: report.of(name) }),
  );

  const internalHosts = mapValues(
    settings.internalHosts,
    ({ connection, throughTunnel, tunnel, ways, toolsDirectory, namespaces, gone, skip }, name) => {
      const host = { connection, throughTunnel, tunnel, ways, toolsDirectory, namespaces, gone };
      return skip
        ? state?.keep("InternalHost", name)
        : new InternalHost(name, { ...host, ...common, look: looks[name], report: report.of(name) });
    },
  );

  const leftOut = new Set(
    kept.flatMap((tunnel) => tunnel.hosts).filter((name) => !Object.hasOwn(hosts, name)),
  );
  const others = [...leftOut].map((name): [string, SetUp] => [
    name,
    state?.keep("PublicHost", name) ?? state?.keep("InternalHost", name),
  ]);
  const all: Record<string, SetUp> = { ...publicHosts, ...internalHosts, ...Object.fromEntries(others) };

  // Those that Pulumi connects through come after the others, and those that are kept, which wait for them, last.
  const isWay = ([name, { internalHost }]: (typeof entries)[number]) =>
    settings.internalHosts[internalHost]!.ways?.through === name;
  const entries = Object.entries(settings.tunnels).filter(
    ([name]) => !kept.some((tunnel) => tunnel.name === name),
  );
  const inOrder = [...entries.filter((each) => !isWay(each)), ...entries.filter(isWay)];
  const declared = mapValues(Object.fromEntries(inOrder), ({ internalHost, publicHost, ...tunnel }, name) => {
    const [inside, outside] = [internalHosts[internalHost], publicHosts[publicHost]];
    // With a skipped host, it has never been set up.
    return inside instanceof InternalHost && outside instanceof PublicHost
      ? new ReverseTunnel(name, { ...tunnel, internalHost: inside, publicHost: outside })
      : undefined;
  });
  for (const tunnel of before.filter((each) => !kept.includes(each))) {
    leaveGone(tunnel, declared[tunnel.name], all);
  }
  const asBefore = kept.map(({ name, hosts: ends }): [string, KeptComponent | undefined] => {
    const setUp = ends.flatMap((end) => setUpOf(all[end]));
    const tunnel = state?.keep("ReverseTunnel", name, setUp);
    // Pulumi may reach the internal host through it.
    if (tunnel?.admitted)
      for (const end of ends) settings.internalHosts[end]?.ways?.admits.set(name, tunnel.admitted);
    return [name, tunnel];
  });
  const tunnels: Record<string, ReverseTunnel | KeptComponent | undefined> = {
    ...declared,
    ...Object.fromEntries(asBefore),
  };
  report.print();

  return {
    /** Where each forward listens and leads. */
    endpoints: outputOf(tunnels, "endpoints"),
    /** What to type on a public host to log in to an internal one. */
    logins: outputOf(tunnels, "logins"),
    /** The systemd units of each tunnel, by host. */
    units: outputOf(tunnels, "units"),
  };
}

/** Leaves what a tunnel of the state has on hosts that are gone, unless it still ends there by the settings. */
function leaveGone(before: StateTunnel, now: ReverseTunnel | undefined, all: Record<string, SetUp>): void {
  const ends = before.hosts.flatMap((name) => {
    const host = all[name];
    return host instanceof PublicHost || host instanceof InternalHost ? [host] : [];
  });
  const gone = ends.filter(({ host }) => host.gone);
  if (gone.length === 0) return;
  const publicHost = [...gone, ...ends].find((end) => end instanceof PublicHost);
  const internalHost = [...gone, ...ends].find((end) => end instanceof InternalHost);
  // One that the settings do not have any more is removed from its other host over the connection that there is now.
  const tunnel =
    now ??
    (internalHost && publicHost
      ? new ReverseTunnel(before.name, { internalHost, publicHost, forwards: {} })
      : new pulumi.ComponentResource("ssh-reverse-tunnel:index:ReverseTunnel", before.name));
  const declared = tunnel instanceof ReverseTunnel ? tunnel.ends : [];
  for (const end of gone) if (!declared.includes(end)) leaveBehind(before.name, end, tunnel);
}

/** What a tunnel waits for on a host. */
function setUpOf(host: SetUp): pulumi.Resource[] {
  if (!host) return [];
  if (!("host" in host)) return host.resources;
  // The connection to the host may go through another of its tunnels, which stays until this one is removed.
  const way = host instanceof InternalHost ? host.way : undefined;
  return [...(host.host.after ?? []), ...(way ? [way.admitted] : [])];
}

/** An output of every tunnel; of one that is skipped, as it was. One that has never been set up has none. */
function outputOf<K extends "endpoints" | "logins" | "units">(
  tunnels: Record<string, ReverseTunnel | KeptComponent | undefined>,
  key: K,
): Record<string, ReverseTunnel[K]> {
  const entries = Object.entries(tunnels).flatMap(([name, tunnel]) =>
    tunnel ? [[name, "outputs" in tunnel ? tunnel.outputs[key] : tunnel[key]]] : [],
  );
  return Object.fromEntries(entries) as Record<string, ReverseTunnel[K]>;
}

/**
 * A minute, and one more for every ten hosts: with `--parallel 1`, a confirmation waits for those of all other hosts.
 */
function trialSecFor(hosts: object): number {
  return 60 * (1 + Math.floor(Object.keys(hosts).length / 10));
}
