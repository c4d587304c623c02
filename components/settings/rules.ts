import { isIP } from "node:net";
import { boundsMistake } from "./bounds.ts";
import type { Forward } from "./forward.ts";
import {
  bindAddress,
  defaultVia,
  listensEverywhere,
  noDefaultVia,
  onlyNone,
  resolveForward,
} from "./forward.ts";
import type { Settings } from "./schema.ts";

/** A mistake: where it is, what was found, what is allowed. */
export interface SettingsError {
  /** The keys that lead to it. */
  path: (string | number)[];
  /** What is allowed: "must be …". */
  message: string;
}

type Report = (path: (string | number)[], message: string) => void;

/** A tunnel of the settings, with its forwards resolved. */
interface Tunnel {
  /** Its name, and that of its internal host. */
  name: string;
  settings: Settings["internalHosts"][string];
  /** The public host that it ends at; undefined if the settings do not name one. */
  publicHost: string | undefined;
  forwards: Forward[];
}

/**
 * The rules between settings, which a schema cannot express.
 *
 * @param publicHosts the names of all public hosts, including those with their own mistakes
 */
export function checkSettings(settings: Settings, publicHosts: string[]): SettingsError[] {
  const errors: SettingsError[] = [];
  const report: Report = (path, message) => errors.push({ path, message });
  const tunnels = Object.entries(settings.internalHosts).map(([name, host]): Tunnel => ({
    name,
    settings: host,
    publicHost: publicHostOf(host.publicHost, publicHosts),
    forwards: Object.entries(host.forwards).map(([forward, args]) => resolveForward(forward, args)),
  }));
  checkAllowUsers(settings, report);
  checkPublicHostNames(settings, publicHosts, report);
  checkPorts(tunnels, report);
  checkBounds(tunnels, settings, report);
  checkLogins(tunnels, report);
  checkThroughTunnel(tunnels, settings, report);
  checkProbes(tunnels, report);
  checkHowOftenChecksLook(tunnels, report);
  return errors;
}

/** The public host that a tunnel ends at: the one that the settings name, or the only one. */
export function publicHostOf(named: string | undefined, publicHosts: string[]): string | undefined {
  return named ?? (publicHosts.length === 1 ? publicHosts[0] : undefined);
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

function checkPublicHostNames(settings: Settings, names: string[], report: Report): void {
  for (const [name, host] of Object.entries(settings.internalHosts)) {
    if (host.publicHost === undefined ? names.length > 1 : !names.includes(host.publicHost)) {
      report(["internalHosts", name, "publicHost"], `must be one of the public hosts: ${names.join(", ")}`);
    }
  }
}

/** sshd binds one port of one address only once. */
function checkPorts(tunnels: Tunnel[], report: Report): void {
  const taken: { path: string; publicHost: string | undefined; forward: Forward }[] = [];
  for (const { name, publicHost, forwards } of tunnels) {
    for (const forward of forwards) {
      const path = ["internalHosts", name, "forwards", forward.name];
      if (forward.remotePort === "auto") continue;
      const samePort = taken.filter(
        (each) => each.publicHost === publicHost && each.forward.remotePort === forward.remotePort,
      );
      const other = samePort.find((each) => collide(each.forward, forward));
      if (other) {
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
      taken.push({ path: path.join("."), publicHost, forward });
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
  for (const { name, publicHost, forwards } of tunnels) {
    const outside = lookUp(settings.publicHosts, publicHost ?? "");
    for (const forward of forwards) {
      const mistake = outside && boundsMistake(forward, outside, outside.portRange);
      if (mistake !== undefined) report(["internalHosts", name, "forwards", forward.name], mistake);
    }
  }
}

function checkLogins(tunnels: Tunnel[], report: Report): void {
  const aliases = new Map<string, string>();
  for (const { name, settings, publicHost, forwards } of tunnels) {
    const ssh = forwards.filter(({ protocol }) => protocol === "ssh").map((forward) => forward.name);
    for (const [index, path] of (settings.logins ?? []).entries()) {
      const at = ["internalHosts", name, "logins", index];
      if (path.via === undefined ? ssh.length === 0 : !ssh.includes(path.via)) {
        report(
          path.via === undefined ? at : [...at, "via"],
          ssh.length === 0
            ? "must have a forward to an SSH port to go through; add one, for example 'ssh: { remotePort: auto, target: 22 }'"
            : `must be a forward to an SSH port: ${ssh.join(", ")}`,
        );
      } else if (path.via === undefined && !defaultVia(forwards, settings.address)) {
        report([...at, "via"], `must be one of ${ssh.join(", ")}, ${noDefaultVia}`);
      }
      const alias = path.alias ?? name;
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
  for (const { name, settings, publicHost, forwards } of tunnels) {
    const { throughTunnel } = settings.admin;
    if (throughTunnel === undefined) {
      continue;
    }
    const path = ["internalHosts", name, "admin", "throughTunnel"];
    const fit = forwards
      .filter(({ protocol, remotePort }) => protocol === "ssh" && remotePort !== "auto")
      .map((forward) => forward.name);
    if (!fit.includes(throughTunnel)) {
      report(
        path,
        fit.length === 0
          ? "must be a forward to its sshd with a fixed port; add one, for example 'ssh: { remotePort: 2222, target: 22 }'"
          : `must be a forward to its sshd with a fixed port: ${fit.join(", ")}`,
      );
    }
    if (lookUp(all.publicHosts, publicHost ?? "")?.admin.bastion) {
      report(
        path,
        "must be left out if the public host is behind a bastion: only one host on the way is supported",
      );
    }
  }
}

/** A tunnel that nothing checks would never be restarted if its ssh hangs, and has no state. */
function checkProbes(tunnels: Tunnel[], report: Report): void {
  for (const { name, forwards } of tunnels) {
    if (forwards.length > 0 && forwards.every(({ probe }) => probe === "none"))
      report(["internalHosts", name, "forwards"], onlyNone);
  }
}

/**
 * Since OpenSSH 9.8, sshd counts a penalty of one second for each connection that ends without a login, such as those
 * of the checks of a banner. If the penalties add up, it refuses their address, which is the address of everyone who
 * connects through the tunnel (PerSourcePenalties).
 */
function checkHowOftenChecksLook(tunnels: Tunnel[], report: Report): void {
  const looks = new Map<string, number>();
  for (const { name, settings, forwards } of tunnels) {
    const { address, watchdogIntervalSec, healthIntervalSec } = settings;
    for (const { probe, targetHost, targetPort } of forwards) {
      if (probe !== "banner") continue;
      const server = `${address} ${targetHost}:${targetPort}`;
      const before = looks.get(server) ?? 0;
      const now = before + 1 / watchdogIntervalSec + 1 / healthIntervalSec;
      looks.set(server, now);
      if (before < 1 && now >= 1) {
        report(
          ["internalHosts", name, "watchdogIntervalSec"],
          `is too short: together, the checks would probe ${targetHost}:${targetPort} at least once a second, and sshd of OpenSSH 9.8 and later then refuses everyone who comes through these forwards (PerSourcePenalties); raise it or healthIntervalSec`,
        );
      }
    }
  }
}
