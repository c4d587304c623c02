import * as random from "@pulumi/random";
import { loadConfig, mapValues } from "./components/settings/load.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";

/** The program: settings → components → outputs. */
export default function program() {
  const { revision, ...settings } = loadConfig();
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

  const tunnels = mapValues(
    settings.internalHosts,
    ({ connection, throughTunnel, toolsDirectory, namespaces, publicHost, ...tunnel }, name) => {
      const host = { connection, throughTunnel, toolsDirectory, namespaces };
      const internalHost = new InternalHost(name, { ...host, ...common });
      return new ReverseTunnel(name, { ...tunnel, internalHost, publicHost: publicHosts[publicHost]! });
    },
  );

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
