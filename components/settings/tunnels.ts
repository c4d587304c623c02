/** Which tunnels an internal host has. */
import type { Forward } from "./forward.ts";
import { resolveForward } from "./forward.ts";
import type { Settings } from "./schema.ts";

type InternalHost = Settings["internalHosts"][string];
type Path = (string | number)[];

/** The settings of an internal host that are for the host, and not for each of its tunnels. */
const ofTheHost = [
  ...(["address", "admin", "skip", "gone", "publicHost", "publicHosts", "tunnels"] as const),
  ...(["textfileDirectory", "toolsDirectory", "namespaces"] as const),
];

type OfTheTunnel = Omit<InternalHost, (typeof ofTheHost)[number]>;

/** A tunnel of the settings. */
export interface Tunnel {
  name: string;
  /** The name of the host that it starts from. */
  internalHost: string;
  /** The public host that it ends at; undefined if the settings do not name one. */
  publicHost: string | undefined;
  settings: OfTheTunnel;
  /** Its forwards, resolved. */
  forwards: Forward[];
  /** Where its name, or the name of its public host, comes from. */
  from: Path;
  /** Where one of its settings is: in its own entry, or in that of its host. */
  pathOf: (key: string) => Path;
}

/**
 * The tunnels of an internal host, in order.
 *
 * A host with one tunnel gives it its own name. In a list of public hosts, a tunnel is named after both ends, so that
 * adding or removing one does not rename another.
 *
 * @param publicHosts the names of all public hosts
 */
export function tunnelsOf(internalHost: string, host: InternalHost, publicHosts: string[]): Tunnel[] {
  const at = ["internalHosts", internalHost];
  const { publicHost, publicHosts: list, tunnels } = host;
  const entries = Object.entries(host).filter(([key]) => !(ofTheHost as string[]).includes(key));
  const shared = Object.fromEntries(entries) as OfTheTunnel;
  const tunnel = (name: string, end: string | undefined, from: Path, own: object = {}): Tunnel => {
    const all: OfTheTunnel = { ...shared, ...own };
    // What people type is the name of the host, whatever its tunnels are called.
    const logins = all.logins?.map((login) =>
      name === internalHost ? login : { ...login, alias: login.alias ?? internalHost },
    );
    const settings = { ...all, ...(logins && { logins }) };
    const forwards = Object.entries(settings.forwards ?? {});
    return {
      name,
      internalHost,
      publicHost: end,
      settings,
      forwards: forwards.map(([forward, args]) => resolveForward(forward, args)),
      from,
      pathOf: (key) => [...(Object.hasOwn(own, key) ? from : at), key],
    };
  };
  const only = publicHosts.length === 1 ? publicHosts[0] : undefined;
  if (tunnels) {
    return Object.entries(tunnels).map(([name, { publicHost: end = only, ...own }]) =>
      tunnel(name, end, [...at, "tunnels", name], own),
    );
  }
  if (list) {
    return list.map((end, index) => tunnel(`${internalHost}-${end}`, end, [...at, "publicHosts", index]));
  }
  return [tunnel(internalHost, publicHost ?? only, [...at, "publicHost"])];
}

/** Whether the tunnel may run. */
export const isEnabled = ({ settings }: Tunnel) => settings.enabled;

/** One way to an internal host, through one of its tunnels. */
export interface Way {
  tunnel: Tunnel;
  forward: Forward;
}

/** An entry of `throughTunnel`, and the ways that it stands for. */
export interface WayEntry {
  path: Path;
  ways: Way[];
  /** All forwards that it could name. */
  fit: string[];
}

/**
 * What `throughTunnel` of an internal host stands for. A way needs a port that is known before anything runs.
 *
 * @param tunnels those that Pulumi may go through
 */
export function waysOf(internalHost: string, { admin }: InternalHost, tunnels: Tunnel[]): WayEntry[] {
  const { throughTunnel } = admin;
  const path = ["internalHosts", internalHost, "admin", "throughTunnel"];
  const all = tunnels.flatMap((tunnel) =>
    tunnel.forwards
      .filter(({ protocol, remotePort, enabled }) => protocol === "ssh" && remotePort !== "auto" && enabled)
      .map((forward): Way => ({ tunnel, forward })),
  );
  const entry = (text: string, at: Path): WayEntry => {
    const [forward, tunnel] = text.split(".").reverse();
    const named = all.filter((way) => tunnel === undefined || way.tunnel.name === tunnel);
    return {
      path: at,
      ways: named.filter((way) => way.forward.name === forward),
      fit: [
        ...new Set(
          all.map((way) =>
            tunnel === undefined ? way.forward.name : `${way.tunnel.name}.${way.forward.name}`,
          ),
        ),
      ],
    };
  };
  if (throughTunnel === undefined) return [];
  return typeof throughTunnel === "string"
    ? [entry(throughTunnel, path)]
    : throughTunnel.map((text, index) => entry(text, [...path, index]));
}
