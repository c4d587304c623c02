import { loadConfig, mapValues } from "./components/config.ts";
import { InternalHost, PublicHost, ReverseTunnel } from "./components/index.ts";

/** The program: settings → components → outputs. */
export default function program() {
  const { publicHosts, internalHosts, revision } = loadConfig();

  const gates = mapValues(publicHosts, (settings, name) => new PublicHost(name, { ...settings, revision }));

  const tunnels = mapValues(internalHosts, ({ connection, throughTunnel, publicHost, ...settings }, name) => {
    const internalHost = new InternalHost(name, { connection, throughTunnel, revision });
    return new ReverseTunnel(name, { ...settings, internalHost, publicHost: gates[publicHost]! });
  });

  return {
    /** Where each forward listens, and where it leads. */
    endpoints: mapValues(tunnels, (tunnel) => tunnel.endpoints),
    /** What to type on a public host to log in to an internal one. */
    logins: mapValues(tunnels, (tunnel) => tunnel.logins),
    /** The systemd units of each tunnel, by host. */
    units: mapValues(tunnels, (tunnel) => tunnel.units),
  };
}
