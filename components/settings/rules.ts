import { isIP } from "node:net";
import { boundsMistake } from "./bounds.ts";
import type { Forward } from "./forward.ts";
import {
  bindAddress,
  defaultVia,
  listensEverywhere,
  noDefaultVia,
  noneEnabled,
  onlyNone,
} from "./forward.ts";
import type { Settings } from "./schema.ts";
import type { Tunnel } from "./tunnels.ts";
import { isEnabled, tunnelsOf, waysOf } from "./tunnels.ts";
import { namePatterns } from "../render/checks.ts";

/** A mistake: where it is, what was found, what is allowed. */
export interface SettingsError {
  /** The keys that lead to it. */
  path: (string | number)[];
  /** What is allowed: "must be …". */
  message: string;
}

type Report = (path: (string | number)[], message: string) => void;

/**
 * The rules between settings, which a schema cannot express.
 *
 * @param publicHosts the names of all public hosts, including those with their own mistakes
 */
export function checkSettings(settings: Settings, publicHosts: string[]): SettingsError[] {
  const errors: SettingsError[] = [];
  // What several tunnels share would be reported for each.
  const reported = new Set<string>();
  const report: Report = (path, message) => {
    if (reported.size < reported.add(JSON.stringify([path, message])).size) errors.push({ path, message });
  };
  const tunnels = Object.entries(settings.internalHosts).flatMap(([name, host]) =>
    tunnelsOf(name, host, publicHosts),
  );
  checkNotify(settings, report);
  checkAllowUsers(settings, report);
  checkHostNames(settings, publicHosts, report);
  checkGone(settings, report);
  checkTunnelNames(settings, tunnels, report);
  checkPublicHostNames(tunnels, publicHosts, report);
  checkForwards(tunnels, report);
  checkPorts(tunnels, report);
  checkBounds(tunnels, settings, report);
  checkLogins(tunnels, settings, report);
  checkThroughTunnel(tunnels, settings, report);
  checkProbes(tunnels, report);
  checkHowOftenChecksLook(tunnels, settings, report);
  return errors;
}

/** The entry with this name. A name like "constructor" finds only what the settings have. */
export function lookUp<T>(all: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(all, name) ? all[name] : undefined;
}

function checkAllowUsers(settings: Settings, report: Report): void {
  for (const [name, host] of Object.entries(settings.publicHosts)) {
    if (host.allowUsers && !host.allowUsers.includes(host.admin.user)) {
      report(
        ["publicHosts", name, "allowUsers"],
        `must name the admin '${host.admin.user}', who would otherwise be locked out`,
      );
    }
  }
}

/** An account of systemd's needs namespaces. */
function checkNotify(settings: Settings, report: Report): void {
  for (const [name, { notify, namespaces }] of Object.entries(settings.publicHosts)) {
    if (notify && notify.account === undefined && !namespaces) {
      report(
        ["publicHosts", name, "notify", "account"],
        "must be set if 'namespaces' is false, since systemd makes an account only with namespaces",
      );
    }
  }
}

/** Resources and messages are named after hosts, whatever kind they are. */
function checkHostNames({ internalHosts }: Settings, publicHosts: string[], report: Report): void {
  for (const name of Object.keys(internalHosts)) {
    if (publicHosts.includes(name))
      report(
        ["internalHosts", name],
        `must have another name, since there is a public host called '${name}'`,
      );
  }
}

/** The tunnels of a host that is gone are removed from the other host, and what is skipped stays as it is. */
function checkGone(settings: Settings, report: Report): void {
  for (const kind of ["publicHosts", "internalHosts"] as const) {
    for (const [name, { gone, skip }] of Object.entries(settings[kind])) {
      if (gone && skip) report([kind, name, "skip"], "must be left out, since the host is gone");
    }
  }
}

/** Accounts and units are named after tunnels. */
function checkTunnelNames(settings: Settings, tunnels: Tunnel[], report: Report): void {
  for (const [name, host] of Object.entries(settings.internalHosts)) {
    const [first, second] = (["publicHost", "publicHosts", "tunnels"] as const).filter((key) => host[key]);
    if (second) report(["internalHosts", name, second], `must be left out, since ${first} is set`);
  }
  const names = new Map<string, Tunnel>();
  for (const tunnel of tunnels) {
    const { name, from, internalHost, publicHost } = tunnel;
    const other = names.get(name);
    if (other?.internalHost === internalHost) report(from, "must not be named twice");
    else if (other) {
      report(
        from,
        `must not make a tunnel called '${name}', since ${other.internalHost} has one of this name; name this one yourself, in 'tunnels'`,
      );
    }
    if (!namePatterns.tunnel.test(name)) {
      report(
        from,
        `must make a name of at most 24 characters with that of the internal host, but '${name}' has ${name.length}; name its tunnels yourself: 'tunnels: { <name>: { publicHost: ${publicHost} } }'`,
      );
    }
    names.set(name, tunnel);
  }
}

function checkPublicHostNames(tunnels: Tunnel[], names: string[], report: Report): void {
  for (const { publicHost, from } of tunnels) {
    if (publicHost === undefined ? names.length > 1 : !names.includes(publicHost)) {
      const path = from.includes("tunnels") ? [...from, "publicHost"] : from;
      report(path, `must be one of the public hosts: ${names.join(", ")}`);
    }
  }
}

function checkForwards(tunnels: Tunnel[], report: Report): void {
  for (const { settings, pathOf } of tunnels) {
    if (!settings.forwards) report(pathOf("forwards"), "must be a map of forwards by name");
  }
}

/** sshd binds one port of one address only once. */
function checkPorts(tunnels: Tunnel[], report: Report): void {
  const taken: { path: string; tunnel: string; publicHost: string | undefined; forward: Forward }[] = [];
  for (const { name, publicHost, forwards, from, pathOf } of tunnels) {
    for (const forward of forwards) {
      const path = [...pathOf("forwards"), forward.name];
      if (forward.remotePort === "auto") continue;
      const samePort = taken.filter(
        (each) => each.publicHost === publicHost && each.forward.remotePort === forward.remotePort,
      );
      const other = samePort.find((each) => collide(each.forward, forward));
      if (other?.path === path.join(".")) {
        if (other.tunnel !== name) {
          report(
            from,
            `must have forwards of its own, since the tunnel '${other.tunnel}' has the same ports on the same public host`,
          );
        }
      } else if (other) {
        report(
          [...path, "remotePort"],
          `must be a different port: ${other.path} has the same one on the same address`,
        );
      }
      const otherFamily = samePort.find((each) => each !== other && shareRules(each.forward, forward));
      if (otherFamily && !otherFamily.forward.sources !== !forward.sources) {
        report(
          [...path, "sources"],
          `must be given for both or for neither: ${otherFamily.path} has the same port, and the firewall opens or blocks a port for IPv4 and IPv6 together`,
        );
      }
      taken.push({ path: path.join("."), tunnel: name, publicHost, forward });
    }
  }
}

/** Whether the addresses of two forwards overlap; sshd binds an address of IPv6 for IPv6 alone. */
function collide(one: Forward, other: Forward): boolean {
  const addresses = [bindAddress(one), bindAddress(other)];
  if (addresses.includes("*")) return true;
  const [family, otherFamily] = addresses.map(isIP);
  return (
    family === otherFamily &&
    (addresses[0] === addresses[1] || listensEverywhere(one) || listensEverywhere(other))
  );
}

/** Whether the firewall has the same rules for two forwards of one port. */
const shareRules = (one: Forward, other: Forward) => listensEverywhere(one) && listensEverywhere(other);

function checkBounds(tunnels: Tunnel[], settings: Settings, report: Report): void {
  for (const { publicHost, forwards, pathOf } of tunnels) {
    const outside = lookUp(settings.publicHosts, publicHost ?? "");
    for (const forward of forwards) {
      const mistake = outside && boundsMistake(forward, outside, outside.portRange);
      if (mistake !== undefined) report([...pathOf("forwards"), forward.name], mistake);
    }
  }
}

function checkLogins(tunnels: Tunnel[], all: Settings, report: Report): void {
  const aliases = new Map<string, string>();
  for (const { internalHost, settings, publicHost, forwards, pathOf } of tunnels) {
    const ssh = forwards.filter(({ protocol }) => protocol === "ssh").map((forward) => forward.name);
    for (const [index, path] of (settings.logins ?? []).entries()) {
      const at = [...pathOf("logins"), index];
      if (path.via === undefined ? ssh.length === 0 : !ssh.includes(path.via)) {
        report(
          path.via === undefined ? at : [...at, "via"],
          ssh.length === 0
            ? "must have a forward to an SSH port to go through; add one, for example 'ssh: { remotePort: auto, target: 22 }'"
            : `must be a forward to an SSH port: ${ssh.join(", ")}`,
        );
      } else if (path.via === undefined && !defaultVia(forwards, all.internalHosts[internalHost]?.address)) {
        report([...at, "via"], `must be one of ${ssh.join(", ")}, ${noDefaultVia}`);
      }
      const alias = path.alias ?? internalHost;
      const key = `${publicHost} ${path.from} ${alias}`;
      const other = aliases.get(key);
      if (other) {
        report(
          [...at, "alias"],
          `must be a different alias: ${other} is already 'ssh ${alias}' for '${path.from}'`,
        );
      }
      aliases.set(key, at.join("."));
    }
  }
}

/**
 * A connection through a tunnel needs a port that is known before anything runs, and a public host without a bastion.
 */
function checkThroughTunnel(tunnels: Tunnel[], all: Settings, report: Report): void {
  for (const [name, host] of Object.entries(all.internalHosts)) {
    const own = tunnels.filter(({ internalHost }) => internalHost === name);
    const present = own.filter(({ publicHost }) => !lookUp(all.publicHosts, publicHost ?? "")?.gone);
    const isOpen = waysOf(name, host, present.filter(isEnabled)).some(({ ways }) => ways.length > 0);
    for (const { path, ways, fit } of waysOf(name, host, present)) {
      if (present.length === 0) {
        report(path, "must be left out, since the public host of its tunnel is gone");
      } else if (ways.length === 0) {
        const gone = waysOf(name, host, own).find((entry) => entry.path.join() === path.join())?.ways[0];
        if (gone)
          report(
            path,
            `must name another tunnel, since ${gone.tunnel.publicHost} is gone, where this one ends`,
          );
        else
          report(
            path,
            fit.length === 0
              ? "must be a forward to its sshd with a fixed port; add one, for example 'ssh: { remotePort: 2222, target: 22 }'"
              : `must be a forward to its sshd with a fixed port: ${fit.join(", ")}`,
          );
      } else if (!isOpen) {
        for (const { tunnel } of ways) report(tunnel.pathOf("enabled"), ownWay);
      }
      if (ways.some(({ tunnel }) => lookUp(all.publicHosts, tunnel.publicHost ?? "")?.admin.bastion)) {
        report(
          path,
          "must be left out if the public host is behind a bastion: only one host on the way is supported",
        );
      }
    }
  }
}

/** Why a tunnel must be enabled that Pulumi itself uses. */
const ownWay =
  "must be true while Pulumi connects through this tunnel, or nobody could enable it again; connect directly first, without throughTunnel";

/** A tunnel that nothing checks would never be restarted if its ssh hangs, and has no state. */
function checkProbes(tunnels: Tunnel[], report: Report): void {
  for (const { forwards, pathOf } of tunnels) {
    const enabled = forwards.filter((forward) => forward.enabled);
    if (forwards.length > 0 && enabled.length === 0) report(pathOf("forwards"), noneEnabled);
    else if (forwards.length > 0 && enabled.every(({ probe }) => probe === "none"))
      report(pathOf("forwards"), onlyNone);
  }
}

/**
 * Since OpenSSH 9.8, sshd counts a penalty of one second for each connection that ends without a login, such as those
 * of the checks of a banner. If the penalties add up, it refuses their address, which is the address of everyone who
 * connects through the tunnel (PerSourcePenalties).
 */
function checkHowOftenChecksLook(tunnels: Tunnel[], all: Settings, report: Report): void {
  const looks = new Map<string, number>();
  for (const { internalHost, settings, forwards, pathOf } of tunnels) {
    const { watchdogIntervalSec, healthIntervalSec } = settings;
    const address = all.internalHosts[internalHost]?.address;
    for (const { enabled, probe, targetHost, targetPort } of forwards) {
      if (probe !== "banner" || !enabled) continue;
      const server = `${address} ${targetHost}:${targetPort}`;
      const before = looks.get(server) ?? 0;
      const now = before + 1 / watchdogIntervalSec + 1 / healthIntervalSec;
      looks.set(server, now);
      if (before < 1 && now >= 1) {
        report(
          pathOf("watchdogIntervalSec"),
          `is too short: together, the checks would probe ${targetHost}:${targetPort} at least once a second, and sshd of OpenSSH 9.8 and later then refuses everyone who comes through these forwards (PerSourcePenalties); raise it or healthIntervalSec`,
        );
      }
    }
  }
}
