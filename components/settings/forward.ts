import { isIP } from "node:net";
import { networkText, noNetworks, parseNetwork } from "./network.ts";
import { assertValid, namePatterns } from "../render/checks.ts";
import { inputError } from "./inputError.ts";

/**
 * One `-R` listener of a tunnel: connections to a port of the public host are forwarded to a target that the internal
 * host can reach.
 */
export interface Forward {
  /** Its name, unique within the tunnel, for example `ssh`. */
  name: string;
  /** Whether it exists at present. */
  enabled: boolean;
  /** The port on the public host, or `auto` for a free one in its range, which stays the same for the life of the stack. */
  remotePort: number | "auto";
  /** The host that connections are forwarded to, as seen from the internal host. Default: `127.0.0.1`, itself. */
  targetHost: string;
  /** The port that connections are forwarded to. */
  targetPort: number;
  /**
   * Where the port listens: `loopback` (only the public host itself can connect), `all` (everyone can), or one address of
   * the public host. Anything but loopback needs `GatewayPorts`, which the tunnel accounts have.
   */
  listen: string;
  /** The networks that may reach the port; undefined for everyone that `listen` allows. */
  sources: string[] | undefined;
  /** `ssh` if the target is an SSH server; otherwise `tcp`. */
  protocol: "ssh" | "tcp";
  /**
   * What the checks look at: `listener`, that the tunnel listens there, without a connection to the target; `banner`, also
   * that the target's SSH banner comes back; `none`, nothing.
   */
  probe: Probe;
}

/** @see Forward.probe */
export const probes = ["none", "listener", "banner"] as const;

/** @see Forward.probe */
type Probe = (typeof probes)[number];

/** The range of the ports for `auto`. */
export interface PortRange {
  first: number;
  last: number;
}

/** Used unless the settings of the public host name a different one. */
export const defaultPortRange: PortRange = { first: 20000, last: 29999 };

/** {@link Forward}, without the values that have a default. */
export interface ForwardArgs {
  /** Whether it exists at present. One that is disabled keeps its name and, if it is `auto`, the start of its port. @default true */
  enabled?: boolean;
  /** @see Forward.remotePort */
  remotePort: number | "auto";
  /** `host:port`, `[v6]:port`, or a port of the internal host itself. @example "127.0.0.1:22" */
  target: string | number;
  /** @see Forward.listen @default "loopback" */
  listen?: string;
  /** @see Forward.sources @default everyone @example ["203.0.113.0/24", "2001:db8::/32"] */
  sources?: string[] | undefined;
  /** @see Forward.protocol @default "ssh" if the target's port is 22, otherwise "tcp" */
  protocol?: "ssh" | "tcp";
  /** @see Forward.probe @default "listener" */
  probe?: Probe;
}

/** Fills in the defaults of a forward. Throws an error if an argument is wrong. */
export function resolveForward(name: string, args: ForwardArgs): Forward {
  const { remotePort, listen = "loopback", probe = "listener" } = args;
  if (!namePatterns.forward.test(name)) {
    throw inputError(
      `'${name}' is not a valid name for a forward; use a to z, 0 to 9 and '-', beginning with a letter, at most 31 characters`,
    );
  }
  if (!isRemotePort(remotePort)) {
    throw inputError(
      `the forward '${name}': '${remotePort}' is not a valid remote port: expected a port from 1024 to 65535, or 'auto'`,
    );
  }
  if (!isListener(listen)) {
    throw inputError(
      `the forward '${name}': '${listen}' is not a valid listen address: expected 'loopback', 'all' or an IP address of the public host`,
    );
  }
  const target = parseTarget(args.target);
  if (!target) {
    throw inputError(
      `the forward '${name}': '${args.target}' is not a valid target; write host:port, [v6]:port or a port`,
    );
  }
  const protocol = args.protocol ?? (target.port === 22 ? "ssh" : "tcp");
  if (!["ssh", "tcp"].includes(protocol)) {
    throw inputError(`the forward '${name}': '${protocol}' is not a valid protocol; write 'ssh' or 'tcp'`);
  }
  if (!probes.includes(probe)) {
    throw inputError(
      `the forward '${name}': '${probe}' is not a valid probe; write 'none', 'listener' or 'banner'`,
    );
  }
  if (probe === "banner" && protocol !== "ssh") {
    throw inputError(`the forward '${name}': its probe ${noBanner}`);
  }
  const mistake = args.sources && (networksMistake(args.sources) ?? sourcesMistake(listen, args.sources));
  if (mistake !== undefined) {
    throw inputError(`the forward '${name}': its sources ${mistake}`);
  }
  return {
    name,
    enabled: args.enabled ?? true,
    remotePort,
    targetHost: target.host,
    targetPort: target.port,
    listen,
    sources: args.sources && [...new Set(args.sources.map(networkText))],
    protocol,
    probe,
  };
}

/** What is wrong with the probe `banner` of a forward to anything but an SSH server. */
export const noBanner =
  "must be 'none' or 'listener': only an SSH server sends the banner that is looked for";

/** What is wrong with the forwards of a tunnel that has none at present. */
export const noneEnabled =
  "must have one that is enabled; to stop all of them, set 'enabled: false' for the tunnel itself";

/** What is wrong with the forwards of a tunnel that nothing would check. */
export const onlyNone = "must not all have the probe 'none': one of them must show whether the tunnel works";

/** What is wrong with the sources alone, "must be …"; undefined if they are valid. */
function networksMistake(sources: string[]): string | undefined {
  if (sources.length === 0) return noNetworks;
  return sources.map(parseNetwork).flatMap((network) => ("mistake" in network ? [network.mistake] : []))[0];
}

/** What is wrong with the sources of a forward that listens there, "must be …"; undefined if they are valid. */
export function sourcesMistake(listen: string, sources: string[]): string | undefined {
  if (!isOpen({ listen })) {
    return "must be left out: only the public host itself can reach a forward that listens on its loopback address";
  }
  const family = { 4: "ipv4", 6: "ipv6" }[isIP(listen)];
  const others = sources
    .map(parseNetwork)
    .some((network) => "family" in network && network.family !== family);
  return family && others
    ? `must be networks of ${family === "ipv4" ? "IPv4" : "IPv6"}: nothing else reaches '${listen}'`
    : undefined;
}

/** sshd listens on a port below 1024 only for root, and the tunnel is not root. */
function isRemotePort(port: number | "auto"): boolean {
  return port === "auto" || (Number.isInteger(port) && port >= 1024 && port <= 65535);
}

/** Whether a forward may listen there. An address with a zone, `%eth0`, cannot be named in `-R` and permitlisten. */
export function isListener(listen: string): boolean {
  return ["loopback", "all"].includes(listen) || (isIP(listen) !== 0 && !/%|:.*\./.test(listen));
}

/** Whether that is every address of the public host. */
export function listensEverywhere({ listen }: Pick<Forward, "listen">): boolean {
  return ["all", "0.0.0.0", "::"].includes(listen);
}

/** Reads `host:port`, `[v6]:port` or a port of 127.0.0.1; returns undefined for anything else. */
export function parseTarget(target: string | number): { host: string; port: number } | undefined {
  const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9][A-Za-z0-9.-]*)):)?([0-9]{1,5})$/.exec(
    String(target),
  );
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65535) {
    return undefined;
  }
  // 127.0.0.1 and not localhost: minimal systems do not resolve it.
  return { host: match[1] ?? match[2] ?? "127.0.0.1", port };
}

/**
 * The forward that a login back takes if nothing names one: the first that leads to the sshd of the internal host itself.
 *
 * @param address the internal host's own
 */
export function defaultVia(forwards: Forward[], address: string | undefined): Forward | undefined {
  return forwards.find(
    ({ protocol, targetHost }) =>
      protocol === "ssh" && (/^(127(\.\d+){3}|::1|localhost)$/.test(targetHost) || targetHost === address),
  );
}

/** What to do if there is no such forward although some lead to an SSH port; in the words of an error. */
export const noDefaultVia =
  "since none of the forwards to an SSH port leads to the internal host itself, by its loopback or its address";

/** The address that the client requests. It is always explicit, since sshd compares permitlisten with the request. */
export function bindAddress(forward: Forward): string {
  return { loopback: "127.0.0.1", all: "*" }[forward.listen] ?? forward.listen;
}

/** An address of the public host at which the forward can be reached there. */
export function probeAddress(forward: Forward): string {
  return (
    { loopback: "127.0.0.1", all: "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1" }[forward.listen] ??
    forward.listen
  );
}

/**
 * A forward as one word, as it is passed to all scripts and programs on the hosts (shell/lib/forwards.sh).
 *
 * @param port its port, or `auto:START` for one that the host is to choose
 * @example "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback"
 */
export function forwardWord(forward: Forward, port: number | string): string {
  const { name, protocol, targetHost, targetPort, listen, probe } = forward;
  return assertValid(
    "unitWord",
    [
      ...[name, probeAddress(forward), port, protocol, targetHost, targetPort, listen],
      ...(probe === "listener" ? [] : [probe]),
    ].join(","),
  );
}

/** Whether other machines can reach the port. */
export function isOpen({ listen }: Pick<Forward, "listen">): boolean {
  return !["loopback", "::1"].includes(listen) && !listen.startsWith("127.");
}

/** `host:port`, with brackets if the host is an IPv6 address. */
export function hostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
