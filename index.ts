import * as random from "@pulumi/random";
import { loadConfig, mapValues } from "./components/settings/load.ts";
import { chooseWays } from "./components/remote/ways.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";

/** The program: settings → components → outputs. */
export default async function program() {
  const { revision, ...config } = loadConfig();
  const settings = { ...config, internalHosts: await chooseWays(config.internalHosts) };
  // Distinguishes this stack from one of the same name in another state.
  const stackId = new random.RandomId("stack-id", { byteLength: 8 }).hex;
  const common = {
    revision,
    stackId,
    trialSec: trialSecFor({ ...settings.publicHosts, ...settings.internalHosts }),
  };

  const publicHosts = mapValues(
    settings.publicHosts,
    (host, name) => new PublicHost(name, { ...host, ...common }),
  );

  const internalHosts = mapValues(
    settings.internalHosts,
    ({ connection, throughTunnel, ways, toolsDirectory, namespaces }, name) =>
      new InternalHost(name, { connection, throughTunnel, ways, toolsDirectory, namespaces, ...common }),
  );

  // Those that Pulumi connects through come last.
  const isWay = ([name, { internalHost }]: [string, { internalHost: string }]) =>
    settings.internalHosts[internalHost]!.ways?.through === name;
  const entries = Object.entries(settings.tunnels);
  const inOrder = Object.fromEntries([...entries.filter((each) => !isWay(each)), ...entries.filter(isWay)]);
  const tunnels = mapValues(inOrder, ({ internalHost, publicHost, ...tunnel }, name) => {
    const ends = { internalHost: internalHosts[internalHost]!, publicHost: publicHosts[publicHost]! };
    return new ReverseTunnel(name, { ...tunnel, ...ends });
  });

  return {
    /** Where each forward listens and leads. */
    endpoints: mapValues(tunnels, (tunnel) => tunnel.endpoints),
    /** What to type on a public host to log in to an internal one. */
    logins: mapValues(tunnels, (tunnel) => tunnel.logins),
    /** The systemd units of each tunnel, by host. */
    units: mapValues(tunnels, (tunnel) => tunnel.units),
  };
}

/**
 * A minute, and one more for every ten hosts: with `--parallel 1`, a confirmation waits for those of all other hosts.
 */
function trialSecFor(hosts: object): number {
  return 60 * (1 + Math.floor(Object.keys(hosts).length / 10));
}
