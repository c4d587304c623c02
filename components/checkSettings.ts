import { boundsMistake } from "./bounds.ts";
import type { Forward } from "./forward.ts";
import { bindAddress, resolveForward } from "./forward.ts";
import type { Settings } from "./settings.ts";

/** Something wrong: where, what was found, what is allowed. */
export interface SettingsError {
  /** The keys that lead to it. */
  path: (string | number)[];
  /** What is allowed: "must be …". */
  message: string;
}

type Report = (path: (string | number)[], message: string) => void;

/**
 * What a schema cannot say: rules between one setting and another.
 *
 * @param publicHosts the names of all public hosts, those too that have mistakes of their own
 */
export function checkSettings(settings: Settings, publicHosts: string[]): SettingsError[] {
  const errors: SettingsError[] = [];
  const report: Report = (path, message) => errors.push({ path, message });
  checkAllowUsers(settings, report);
  checkPublicHostNames(settings, publicHosts, report);
  checkPorts(settings, publicHosts, report);
  checkBounds(settings, publicHosts, report);
  checkReturnPaths(settings, publicHosts, report);
  checkThroughTunnel(settings, publicHosts, report);
  checkHowOftenChecksLook(settings, report);
  return errors;
}

/** The public host that a tunnel ends at: the one that the settings name, or the only one there is. */
export function publicHostOf(named: string | undefined, publicHosts: string[]): string | undefined {
  return named ?? (publicHosts.length === 1 ? publicHosts[0] : undefined);
}

/** What has this name, which may be "constructor" and then finds nothing that the settings do not have. */
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
function checkPorts(settings: Settings, publicHosts: string[], report: Report): void {
  const taken: { path: string; publicHost: string | undefined; forward: Forward }[] = [];
  for (const [host, { forwards, publicHost: named }] of Object.entries(settings.internalHosts)) {
    for (const [name, args] of Object.entries(forwards)) {
      const path = ["internalHosts", host, "forwards", name, "remotePort"];
      const forward = resolveForward(name, args);
      if (forward.remotePort === "auto") {
        continue;
      }
      const publicHost = publicHostOf(named, publicHosts);
      const other = taken.find((each) => each.publicHost === publicHost && collide(each.forward, forward));
      if (other) {
        report(path, `must be a port of its own: ${other.path} has the same on the same address`);
      }
      taken.push({ path: path.slice(0, -1).join("."), publicHost, forward });
    }
  }
}

function collide(one: Forward, other: Forward): boolean {
  const addresses = [bindAddress(one), bindAddress(other)];
  const everywhere = addresses.some((each) => ["*", "0.0.0.0", "::"].includes(each));
  return one.remotePort === other.remotePort && (everywhere || addresses[0] === addresses[1]);
}

function checkBounds(settings: Settings, publicHosts: string[], report: Report): void {
  for (const [host, { forwards, publicHost }] of Object.entries(settings.internalHosts)) {
    const outside = lookUp(settings.publicHosts, publicHostOf(publicHost, publicHosts) ?? "");
    for (const [name, args] of Object.entries(forwards)) {
      const mistake = outside && boundsMistake(resolveForward(name, args), outside, outside.portRange);
      if (mistake !== undefined) report(["internalHosts", host, "forwards", name], mistake);
    }
  }
}

function checkReturnPaths(settings: Settings, publicHosts: string[], report: Report): void {
  const aliases = new Map<string, string>();
  for (const [host, { forwards, returnPath, publicHost }] of Object.entries(settings.internalHosts)) {
    const ssh = Object.keys(forwards).filter(
      (name) => resolveForward(name, forwards[name]!).protocol === "ssh",
    );
    for (const [index, path] of (returnPath ?? []).entries()) {
      const at = ["internalHosts", host, "returnPath", index];
      if (path.via === undefined ? ssh.length === 0 : !ssh.includes(path.via)) {
        report(
          path.via === undefined ? at : [...at, "via"],
          ssh.length === 0
            ? "must have a forward to an SSH port to go through; add one, for example 'ssh: { remotePort: auto, target: 22 }'"
            : `must be a forward to an SSH port: ${ssh.join(", ")}`,
        );
      }
      const alias = path.alias ?? host;
      const key = `${publicHostOf(publicHost, publicHosts)} ${path.from} ${alias}`;
      const other = aliases.get(key);
      if (other) {
        report(
          [...at, "alias"],
          `must be an alias of its own: ${other} is 'ssh ${alias}' for '${path.from}' already`,
        );
      }
      aliases.set(key, at.join("."));
    }
  }
}

/** The connection through a tunnel needs a port that is known before anything runs, and a public host that is near. */
function checkThroughTunnel(settings: Settings, publicHosts: string[], report: Report): void {
  for (const [host, { admin, forwards, publicHost }] of Object.entries(settings.internalHosts)) {
    if (admin.throughTunnel === undefined) {
      continue;
    }
    const path = ["internalHosts", host, "admin", "throughTunnel"];
    const fit = Object.keys(forwards).filter((name) => {
      const { protocol, remotePort } = resolveForward(name, forwards[name]!);
      return protocol === "ssh" && remotePort !== "auto";
    });
    if (!fit.includes(admin.throughTunnel)) {
      report(
        path,
        fit.length === 0
          ? "must be a forward to its sshd with a fixed port; add one, for example 'ssh: { remotePort: 2222, target: 22 }'"
          : `must be a forward to its sshd with a fixed port: ${fit.join(", ")}`,
      );
    }
    if (lookUp(settings.publicHosts, publicHostOf(publicHost, publicHosts) ?? "")?.admin.bastion) {
      report(
        path,
        "must be left out where the public host is behind a bastion: there can be one host on the way only",
      );
    }
  }
}

/**
 * Since OpenSSH 9.8, sshd counts a second for each connection that ends without a login, as those of the checks do, and
 * refuses their address, through which everyone comes, where the seconds pile up (PerSourcePenalties).
 */
function checkHowOftenChecksLook({ internalHosts }: Settings, report: Report): void {
  const looks = new Map<string, number>();
  for (const [host, { address, forwards, watchdogIntervalSec, healthIntervalSec }] of Object.entries(
    internalHosts,
  )) {
    for (const [name, args] of Object.entries(forwards)) {
      const { protocol, targetHost, targetPort } = resolveForward(name, args);
      if (protocol !== "ssh") continue;
      const server = `${address} ${targetHost}:${targetPort}`;
      const before = looks.get(server) ?? 0;
      const now = before + 1 / watchdogIntervalSec + 1 / healthIntervalSec;
      looks.set(server, now);
      if (before < 1 && now >= 1) {
        report(
          ["internalHosts", host, "watchdogIntervalSec"],
          `is too short: together, the checks would probe ${targetHost}:${targetPort} at least once a second, and sshd of OpenSSH 9.8 and later then refuses everyone who comes through these forwards (PerSourcePenalties); raise it or healthIntervalSec`,
        );
      }
    }
  }
}
