import type * as pulumi from "@pulumi/pulumi";
import * as random from "@pulumi/random";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";
import type { KeptComponent } from "./components/keptState.ts";
import { KeptState } from "./components/keptState.ts";
import type { HostLook } from "./components/remote/look.ts";
import { hostsToLookAt, lookForDrift } from "./components/remote/look.ts";
import { chooseWays } from "./components/remote/ways.ts";
import { RunReport } from "./components/remote/runReport.ts";
import { loadConfig, mapValues } from "./components/settings/load.ts";

/** The program: settings → components → outputs. With `drift: true`, it looks at the hosts before that. */
export default async function program() {
  const { revision, drift, ...config } = loadConfig();
  const settings = { ...config, internalHosts: await chooseWays(config.internalHosts, drift) };
  const hosts = { ...settings.publicHosts, ...settings.internalHosts };
  const looks: Record<string, HostLook> = drift ? await lookForDrift(hostsToLookAt(hosts)) : {};
  const skipped = Object.keys(hosts).filter((name) => hosts[name]!.skip);
  const state = skipped.length > 0 ? await KeptState.read() : undefined;
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

  // Those that Pulumi connects through come after the others, and those that are kept, which wait for them, last.
  const rankOf = ([name, { internalHost, publicHost }]: (typeof entries)[number]) => {
    if (settings.internalHosts[internalHost]!.skip || settings.publicHosts[publicHost]!.skip) return 2;
    return settings.internalHosts[internalHost]!.ways?.through === name ? 1 : 0;
  };
  const entries = Object.entries(settings.tunnels);
  const inOrder = [0, 1, 2].flatMap((rank) => entries.filter((each) => rankOf(each) === rank));
  const tunnels = mapValues(Object.fromEntries(inOrder), ({ internalHost, publicHost, ...tunnel }, name) => {
    const [inside, outside] = [internalHosts[internalHost], publicHosts[publicHost]];
    if (inside instanceof InternalHost && outside instanceof PublicHost)
      return new ReverseTunnel(name, { ...tunnel, internalHost: inside, publicHost: outside });
    const kept = state?.keep("ReverseTunnel", name, [...setUpOf(inside), ...setUpOf(outside)]);
    if (kept?.admitted) settings.internalHosts[internalHost]!.ways?.admits.set(name, kept.admitted);
    return kept;
  });
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

/** What a tunnel waits for on a host. */
function setUpOf(host: PublicHost | InternalHost | KeptComponent | undefined): pulumi.Resource[] {
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
