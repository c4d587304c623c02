import * as random from "@pulumi/random";
import { AbsentHosts } from "./components/absentHosts.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";
import type { KeptComponent } from "./components/keptState.ts";
import type { HostLook } from "./components/remote/look.ts";
import { hostsToLookAt, lookForDrift } from "./components/remote/look.ts";
import { chooseWays } from "./components/remote/ways.ts";
import { RunReport } from "./components/remote/runReport.ts";
import type { Config } from "./components/settings/load.ts";
import { loadConfig, mapValues } from "./components/settings/load.ts";

/** The program: settings → components → outputs. With `drift: true`, it looks at the hosts before that. */
export default async function program() {
  const { revision, drift, ...config } = await loadConfig();
  const settings = { ...config, internalHosts: await chooseWays(config.internalHosts, drift) };
  const hosts = { ...settings.publicHosts, ...settings.internalHosts };
  const looks: Record<string, HostLook> = drift ? await lookForDrift(hostsToLookAt(hosts)) : {};
  const absent = await AbsentHosts.find(hosts, settings.tunnels);
  const report = new RunReport(absent.skipped);
  // Distinguishes this stack from one of the same name in another state.
  const stackId = new random.RandomId("stack-id", { byteLength: 8 }).hex;
  const common = { revision, stackId, trialSec: trialSecFor(hosts) };

  const publicHosts = mapValues(settings.publicHosts, ({ skip, ...host }, name) =>
    skip
      ? absent.keep("PublicHost", name)
      : new PublicHost(name, { ...host, ...common, look: looks[name], report: report.of(name) }),
  );

  const internalHosts = mapValues(
    settings.internalHosts,
    ({ connection, throughTunnel, tunnel, ways, toolsDirectory, namespaces, gone, skip }, name) => {
      const host = { connection, throughTunnel, tunnel, ways, toolsDirectory, namespaces, gone };
      return skip
        ? absent.keep("InternalHost", name)
        : new InternalHost(name, { ...host, ...common, look: looks[name], report: report.of(name) });
    },
  );

  // Those that Pulumi connects through come after the others, and those that are kept, which wait for them, last.
  const entries = Object.entries(settings.tunnels).filter(([name]) => !absent.keeps(name));
  const isWay = ([name, { internalHost }]: (typeof entries)[number]) =>
    settings.internalHosts[internalHost]!.ways?.through === name;
  const inOrder = [...entries.filter((each) => !isWay(each)), ...entries.filter(isWay)];
  const declared = mapValues(Object.fromEntries(inOrder), ({ internalHost, publicHost, ...tunnel }, name) => {
    const [inside, outside] = [internalHosts[internalHost], publicHosts[publicHost]];
    // With a host that is skipped, it has never been set up.
    return inside instanceof InternalHost && outside instanceof PublicHost
      ? new ReverseTunnel(name, { ...tunnel, internalHost: inside, publicHost: outside })
      : undefined;
  });
  const kept = absent.keepTunnels({ ...publicHosts, ...internalHosts }, declared);
  const tunnels = { ...declared, ...kept };
  report.print();

  return {
    /** What stacks need that have tunnels to a public host which this one manages. */
    publicHosts: sharedHosts(publicHosts, settings.publicHosts),
    /** Where each forward listens and leads. */
    endpoints: outputOf(tunnels, "endpoints"),
    /** What to type on a public host to log in to an internal one. */
    logins: outputOf(tunnels, "logins"),
    /** The systemd units of each tunnel, by host. */
    units: outputOf(tunnels, "units"),
  };
}

/** An entry for each public host that this stack manages; for one that is skipped, as it was. */
function sharedHosts(
  hosts: Record<string, PublicHost | KeptComponent | undefined>,
  settings: Config["publicHosts"],
): Record<string, unknown> {
  const entries = Object.entries(hosts).flatMap(([name, host]) => {
    const shared = host instanceof PublicHost ? host.shared : host?.outputs;
    return shared && !settings[name]!.managed ? [[name, shared]] : [];
  });
  return Object.fromEntries(entries) as Record<string, unknown>;
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
