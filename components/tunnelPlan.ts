import type * as pulumi from "@pulumi/pulumi";
import { tunnelAccount } from "./parts/account/account.ts";
import { boundsMistake } from "./settings/bounds.ts";
import type { Forward, ForwardArgs, PortRange } from "./settings/forward.ts";
import { defaultVia, noDefaultVia, noneEnabled, onlyNone, resolveForward } from "./settings/forward.ts";
import { fingerprintOf } from "./remote/fingerprint.ts";
import { inputError } from "./settings/inputError.ts";
import type { InternalHost } from "./internalHost.ts";
import type { KeepAlive, KeepAliveArgs } from "./settings/keepAlive.ts";
import { resolveKeepAlive } from "./settings/keepAlive.ts";
import type { Names } from "./names.ts";
import { namesOf } from "./names.ts";
import type { Proxy, ProxyArgs, ProxyJumpArgs } from "./settings/proxy.ts";
import { resolveProxy } from "./settings/proxy.ts";
import type { PublicHost } from "./publicHost.ts";
import { resolveRange } from "./parts/remotePorts/remotePorts.ts";
import { accountWordsFor, assertValid, namePatterns } from "./render/checks.ts";

/** A password-less login from the public host back to the internal host. */
export interface LoginArgs {
  /** The account on the public host that may type `ssh <alias>`. */
  from: string;
  /** The account on the internal host to log in to. */
  to: string;
  /** What is typed after `ssh`. @default the tunnel's name */
  alias?: string;
  /** The forward to use. @default the first to an SSH port of the internal host itself */
  via?: string;
  /** Any word; a new one replaces the login's key. @see ReverseTunnelArgs.keys @default that of the tunnel */
  keys?: string | undefined;
}

/** Arguments of {@link ReverseTunnel}. */
export interface ReverseTunnelArgs {
  /** Where the tunnel starts. */
  internalHost: InternalHost;
  /**
   * The internal host's own address: a forward to it leads to the host itself, as one to its loopback does.
   *
   * @default that of its connection
   */
  address?: string;
  /**
   * Whether it may run. One that is disabled is stopped, and its key is refused at the public host, but nothing is
   * removed. Not possible while Pulumi connects through it.
   *
   * @default true
   */
  enabled?: boolean;
  /** Where it ends, and listens. */
  publicHost: PublicHost;
  /** Its listeners by name; at least one. @example { ssh: { remotePort: 2222, target: 22 } } */
  forwards: Record<string, ForwardArgs>;
  /** Logins back to the internal host. @default none */
  logins?: LoginArgs[];
  /**
   * An existing account of the internal host that runs the tunnel, with the key in its `~/.ssh`.
   *
   * @default an account for the tunnel only, `tunnel-<name>`
   */
  account?: string;
  /**
   * Any word. A new one replaces the keys of the tunnel and of its logins: a new key is made and authorized beside the
   * old one, used and tried, and then the old one is removed on both hosts.
   *
   * @example "2026-Q4"
   * @default none, a key is made once and kept
   */
  keys?: string | undefined;
  /** How fast a dead tunnel is detected and restarted. @default the preset "fast" */
  keepAlive?: KeepAliveArgs;
  /** Seconds between two checks of the watchdog on the internal host. @default 15 */
  watchdogIntervalSec?: number;
  /** Seconds between two checks from the public host. @default 30 */
  healthIntervalSec?: number;
  /** The folder that node_exporter on the internal host reads text files from. @default none */
  textfileDirectory?: string | undefined;
  /** How many seconds `pulumi up` waits for the tunnel to work. @default 30 */
  timeoutSec?: number;
  /** A proxy through which the internal host reaches the public host. @default none */
  proxy?: ProxyArgs | undefined;
  /** A jump host through which the internal host reaches the public host, after the proxy if there is one. @default none */
  proxyJump?: ProxyJumpArgs | undefined;
}

/** A login back to the internal host, with all defaults filled in. */
export interface Login {
  from: string;
  to: string;
  alias: string;
  /** The forward that it uses. */
  via: Forward;
  /** File name of its key below `~/.ssh/ssh-reverse-tunnel` of `from`. */
  keyFile: string;
  /** @see TunnelPlan.keyId */
  keyId: string | undefined;
}

/** What is known about a tunnel before any host is contacted. */
export interface TunnelPlan {
  /** The tunnel's name. */
  name: string;
  names: Names;
  /** Whether it may run. */
  enabled: boolean;
  /** Its forwards that are enabled. */
  forwards: Forward[];
  /** All of them: those that are disabled keep the start of their ports. */
  allForwards: Forward[];
  /** The range of the ports for `auto`. */
  portRange: PortRange;
  logins: Login[];
  /** The account that runs ssh on the internal host. */
  account: string;
  /** Whether the account is only for this tunnel. */
  ownsAccount: boolean;
  /** The account on the public host. */
  publicAccount: string;
  /** File name of its key on the internal host. */
  keyFile: string;
  /** Tells this key from earlier ones; undefined for the key of a tunnel whose settings have no word for it. */
  keyId: string | undefined;
  keepAlive: KeepAlive;
  proxy: Omit<Proxy, "password"> | undefined;
}

/**
 * Resolves the arguments of a tunnel.
 *
 * @param tunnel the resource next to which an error is shown
 * @throws an error that names the tunnel, what was found and what is allowed
 */
export function planTunnel(name: string, args: ReverseTunnelArgs, tunnel?: pulumi.Resource): TunnelPlan {
  checkArguments(name, args, tunnel);
  const { internalHost, publicHost } = args;
  const { host } = internalHost.host.connection;
  const known = typeof host === "string" ? host : undefined;
  const address = args.address === undefined ? known : assertValid("plain", args.address);
  const allForwards = Object.entries(args.forwards).map(([key, forward]) => resolveForward(key, forward));
  const forwards = allForwards.filter(({ enabled }) => enabled);
  const keyId = keyIdOf(args.keys);
  for (const forward of forwards) {
    const mistake = boundsMistake(forward, publicHost.bounds, publicHost.portRange);
    if (mistake !== undefined)
      throw inputError(`the tunnel '${name}': the forward '${forward.name}' ${mistake}`, tunnel);
  }
  return {
    name,
    names: namesOf(name, internalHost.host, publicHost.host),
    enabled: args.enabled ?? true,
    forwards,
    allForwards,
    portRange: resolveRange(publicHost.host.name, publicHost.portRange),
    logins: (args.logins ?? []).map((path) =>
      planLogin(name, { forwards: allForwards, address, keyId }, path, tunnel),
    ),
    account: args.account ?? tunnelAccount(name),
    ownsAccount: args.account === undefined,
    publicAccount: tunnelAccount(name),
    keyFile: keyFileOf(name, keyId),
    keyId,
    keepAlive: resolveKeepAlive(args.keepAlive),
    proxy: args.proxy && resolveProxy(name, args.proxy, tunnel),
  };
}

function planLogin(
  name: string,
  known: { forwards: Forward[]; address: string | undefined; keyId: string | undefined },
  path: LoginArgs,
  tunnel?: pulumi.Resource,
): Login {
  const { from, to, alias = name } = path;
  const { forwards, address } = known;
  const keyId = path.keys === undefined ? known.keyId : keyIdOf(path.keys);
  const via = path.via
    ? forwards.find((forward) => forward.name === path.via)
    : defaultVia(forwards, address);
  if (!via) {
    throw inputError(
      path.via === undefined && forwards.some(({ protocol }) => protocol === "ssh")
        ? `the tunnel '${name}': the login from '${from}' must name a forward in 'via', ${noDefaultVia}`
        : `the tunnel '${name}' has no ${path.via ? `forward '${path.via}'` : "forward to an SSH port"}; its login from '${from}' needs one`,
      tunnel,
    );
  }
  return { from, to, alias, via, keyFile: keyFileOf(alias, keyId), keyId };
}

/** Whether Pulumi reaches the internal host through this tunnel. */
function isWay(name: string, { internalHost: { host }, publicHost }: ReverseTunnelArgs): boolean {
  const through = host.ways?.through ?? host.tunnel;
  return through === undefined ? host.throughTunnel === publicHost.host.name : through === name;
}

/** A word may be any text, and file names and comments have little room for it. */
const keyIdOf = (word: string | undefined) =>
  word === undefined ? undefined : fingerprintOf(word).slice(0, 8);

/** Another key is another file, so that both are there until the old one is swept. */
const keyFileOf = (name: string, keyId: string | undefined) =>
  keyId === undefined ? `${name}.key` : `${name}.${keyId}.key`;

function checkArguments(name: string, args: ReverseTunnelArgs, tunnel?: pulumi.Resource): void {
  if (!namePatterns.tunnel.test(name)) {
    throw inputError(
      `'${name}' is not a valid name for a tunnel, since accounts and units are named after it; use a to z, 0 to 9 and '-', beginning with a letter, at most 24 characters`,
      tunnel,
    );
  }
  if (Object.keys(args.forwards).length === 0) {
    throw inputError(`the tunnel '${name}' has no forwards; give it at least one`, tunnel);
  }
  const enabled = Object.values(args.forwards).filter((forward) => forward.enabled ?? true);
  if (enabled.length === 0) {
    throw inputError(`the tunnel '${name}': its forwards ${noneEnabled}`, tunnel);
  }
  if (args.enabled === false && isWay(name, args)) {
    throw inputError(
      `the tunnel '${name}' must be enabled while Pulumi connects through it, or nobody could enable it again; connect directly first`,
      tunnel,
    );
  }
  if (enabled.every(({ probe }) => probe === "none")) {
    throw inputError(`the tunnel '${name}': its forwards ${onlyNone}`, tunnel);
  }
  const paths = args.logins ?? [];
  for (const account of [args.account, ...paths.flatMap(({ from, to }) => [from, to])]) {
    if (account !== undefined && !namePatterns.account.test(account)) {
      throw inputError(`the tunnel '${name}': '${account}' must be ${accountWordsFor(account)}`, tunnel);
    }
  }
  for (const { alias } of paths) {
    if (alias !== undefined && !namePatterns.alias.test(alias)) {
      throw inputError(
        `the tunnel '${name}': '${alias}' is not a valid alias; use a to z, 0 to 9, '.', '_' and '-', at most 63 characters`,
        tunnel,
      );
    }
  }
}
