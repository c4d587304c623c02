import * as pulumi from "@pulumi/pulumi";
import { Account } from "./account.ts";
import { AuthorizedKey } from "./authorizedKey.ts";
import { boundsMistake } from "./bounds.ts";
import { FirewallPorts } from "./firewallPorts.ts";
import type { Forward, ForwardArgs } from "./forward.ts";
import { bindAddress, checkAddress, hostPort, isOpen, listensEverywhere, resolveForward } from "./forward.ts";
import { HealthCheck } from "./healthCheck.ts";
import type { InternalHost } from "./internalHost.ts";
import { resolveKeepAlive } from "./keepAlive.ts";
import type { KeepAlive, KeepAliveArgs } from "./keepAlive.ts";
import { KeyPair } from "./keyPair.ts";
import type { PublicHost } from "./publicHost.ts";
import { fingerprintOf } from "./remoteComponent.ts";
import { RemotePorts } from "./remotePorts.ts";
import { returnKeyOptions, tunnelKeyOptions } from "./render/authorizedKeyLine.ts";
import { namePatterns } from "./render/checks.ts";
import { tunnelGroup, tunnelKeysFile } from "./render/sshdDropIn.ts";
import { SelinuxPorts } from "./selinuxPorts.ts";
import { SshLogin } from "./sshLogin.ts";
import { TunnelCheck } from "./tunnelCheck.ts";
import { TunnelService, tunnelAccount } from "./tunnelService.ts";
import { inputError } from "./inputError.ts";

/** A password-less login from the public host back to the internal host. */
export interface ReturnPathArgs {
  /** The account on the public host that may type `ssh <alias>`. */
  from: string;
  /** The account on the internal host that it arrives at. */
  to: string;
  /** What is typed after `ssh`. @default the tunnel's name */
  alias?: string;
  /** The forward that it goes through. @default the first whose protocol is ssh */
  via?: string;
}

/** Arguments of {@link ReverseTunnel}. */
export interface ReverseTunnelArgs {
  /** Where the tunnel starts. */
  internalHost: InternalHost;
  /** Where it ends, and listens. */
  publicHost: PublicHost;
  /** Its listeners by name; at least one. @example { ssh: { remotePort: 2222, target: 22 } } */
  forwards: Record<string, ForwardArgs>;
  /** Logins back to the internal host. @default none */
  returnPath?: ReturnPathArgs[];
  /**
   * An account of the internal host that is there already and runs the tunnel, with the key in its `~/.ssh`.
   * @default one that the tunnel has to itself, `tunnel-<name>`
   */
  account?: string;
  /** How fast a dead tunnel is noticed and comes back. @default the preset "fast" */
  keepAlive?: KeepAliveArgs;
  /** Seconds between two checks of the watchdog on the internal host. @default 15 */
  watchdogIntervalSec?: number;
  /** Seconds between two checks from the public host. @default 30 */
  healthIntervalSec?: number;
  /** A folder in which a node_exporter on the internal host looks for text files. @default none */
  textfileDirectory?: string | undefined;
  /** Seconds that `pulumi up` waits for the tunnel to work. @default 30 */
  timeoutSec?: number;
}

/** How to reach something through a tunnel. */
export interface Endpoint {
  /** Where it listens on the public host. @example "gate.example.org:8080" */
  endpoint: string;
  /** Where it leads on the internal host. */
  target: string;
}

/**
 * One internal host's ssh connection to one public host: both ends, its forwards, its return path.
 *
 * @example
 * ```ts
 * const gate = new PublicHost("gate", { connection: { host: "gate.example.org", hostKey, privateKey } });
 * const nas = new InternalHost("nas", { connection: { host: "192.168.1.10", hostKey: nasKey, privateKey } });
 * new ReverseTunnel("nas", {
 *   internalHost: nas,
 *   publicHost: gate,
 *   forwards: { ssh: { remotePort: 2222, target: 22 } },
 *   returnPath: [{ from: "root", to: "root" }],
 * });
 * ```
 *
 * The name is part of account and unit names: `a-z`, `0-9` and `-`, 24 characters at most; another throws.
 */
export class ReverseTunnel extends pulumi.ComponentResource {
  /** For each forward, where it listens and where it leads. */
  public readonly endpoints: pulumi.Output<Record<string, Endpoint>>;
  /** For each return path, the very command to type on the public host, and as whom. */
  public readonly logins: { on: string; as: string; command: string }[];
  /** The systemd units, by host. */
  public readonly units: Record<string, string[]>;

  constructor(name: string, args: ReverseTunnelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:ReverseTunnel", name, {}, opts);
    checkArguments(this, name, args);
    const { internalHost, publicHost } = args;
    const inside = internalHost.host;
    const outside = publicHost.host;
    const forwards = Object.entries(args.forwards).map(([key, forward]) => resolveForward(key, forward));
    for (const forward of forwards) {
      const mistake = boundsMistake(forward, publicHost.bounds, publicHost.portRange);
      if (mistake !== undefined)
        throw inputError(`the tunnel '${name}': the forward '${forward.name}' ${mistake}`, this);
    }
    const account = args.account ?? tunnelAccount(name);
    const keepAlive = resolveKeepAlive(args.keepAlive);
    // What is on the public host is named after it: a tunnel that moves to another leaves nothing on the old one.
    const there = onHost(name, outside.name);

    const publicAccount = this.publicAccount(name, outside);
    // Through the tunnel, what is on the internal host must be removed while the account that it goes through is there.
    const beforeInside = inside.throughTunnel ? [publicAccount] : [];
    const internalAccount =
      args.account === undefined ? [this.internalAccount(name, inside, beforeInside)] : beforeInside;

    const remotePorts = new RemotePorts(
      `${there}-remote-ports`,
      { host: outside, account: tunnelAccount(name), forwards, portRange: publicHost.portRange },
      { parent: this, dependsOn: [publicAccount] },
    );
    const withPorts = forwards.map((forward) => ({ forward, port: remotePorts.portOf(forward) }));
    const ports = withPorts.map(({ port }) => port);
    const checks = withPorts.map(({ forward, port }) => checkFields(forward, port));

    const selinux = new SelinuxPorts(
      `${there}-selinux-ports${setOf(forwards)}`,
      { host: outside, ports, installPackages: publicHost.installPackages },
      { parent: this, dependsOn: [remotePorts] },
    );
    const open = withPorts.filter(({ forward }) => isOpen(forward));
    const firewall =
      open.length === 0
        ? []
        : [
            new FirewallPorts(
              `${there}-firewall-ports${setOf(open.map(({ forward }) => forward))}`,
              {
                host: outside,
                ports: open.map(({ forward, port }) => ({
                  port,
                  address: listensEverywhere(forward) ? undefined : forward.listen,
                  sources: forward.sources,
                })),
              },
              { parent: this, dependsOn: [remotePorts] },
            ),
          ];

    // A key of another account is another key: the old one goes when the new one has shown that it works.
    const suffix = args.account === undefined ? "" : `.${args.account}`;
    const keyPair = new KeyPair(
      `${there}-key${suffix}`,
      { host: inside, account, file: `${name}.key`, comment: `${account}@${inside.name}` },
      { parent: this, dependsOn: internalAccount },
    );
    const authorized = {
      host: outside,
      account: tunnelAccount(name),
      publicKey: keyPair.publicKey,
      options: pulumi
        .all(withPorts.map(({ forward, port }) => port.apply((number) => ({ forward, port: number }))))
        .apply((resolved) => tunnelKeyOptions(resolved, publicHost.server.takeover)),
      file: tunnelKeysFile.replace("%u", tunnelAccount(name)),
    };
    const authorizedKey = new AuthorizedKey(
      `${there}-authorized-key${suffix}`,
      { ...authorized, keepPermits: true },
      // Where the ports are refused, the key still permits those that the running tunnel has.
      { parent: this, dependsOn: [publicAccount, remotePorts] },
    );

    const returnPaths = (args.returnPath ?? []).map((path) =>
      this.returnPath(name, args, path, withPorts, remotePorts),
    );

    const service = new TunnelService(
      `${name}-service`,
      {
        host: inside,
        tunnel: name,
        account,
        login: {
          file: name,
          // The second name is the unit's own: no other tunnel of the same account can have it.
          aliases: [outside.name, `ssh-tunnel-${name}`],
          address: publicHost.address,
          port: publicHost.sshPort,
          account: tunnelAccount(name),
          hostKeys: publicHost.hostKeys,
          options: tunnelClientOptions(keepAlive),
        },
        remoteForwards: withPorts.map(
          ({ forward, port }) =>
            pulumi.interpolate`${port.apply((number) => hostPort(bindAddress(forward), number))}:${hostPort(forward.targetHost, forward.targetPort)}`,
        ),
        checks,
        restartSec: keepAlive.restartSec,
        restartMaxDelaySec: keepAlive.restartMaxDelaySec,
        watchdogIntervalSec: args.watchdogIntervalSec,
        textfileDirectory: args.textfileDirectory,
        timeoutSec: args.timeoutSec,
        fingerprint: keyPair.publicKey.apply(fingerprintOf),
      },
      {
        parent: this,
        dependsOn: [
          authorizedKey,
          selinux,
          remotePorts,
          publicHost.server,
          // Nothing listens before that keeps others out.
          ...(forwards.some(({ sources }) => sources) ? firewall : []),
          // It may restart the tunnel that the others on the internal host come through.
          ...(inside.throughTunnel ? returnPaths : []),
        ],
      },
    );
    new AuthorizedKey(
      `${there}-settled-key${suffix}`,
      { ...authorized, settles: authorizedKey },
      { parent: this, dependsOn: [authorizedKey, service] },
    );

    const health = new HealthCheck(
      `${there}-health`,
      {
        host: outside,
        tunnel: name,
        forwards: checks,
        intervalSec: args.healthIntervalSec,
        textfileDirectory: publicHost.textfileDirectory,
      },
      // It begins to look when there is something to see.
      { parent: this, dependsOn: [remotePorts, service] },
    );

    new TunnelCheck(
      `${there}-check`,
      {
        host: outside,
        forwards: withPorts,
        timeoutSec: args.timeoutSec,
        lookAt: `'journalctl -u ${service.units[0]}' on ${inside.name} and 'journalctl -u ssh -u sshd' on ${outside.name}`,
        fingerprint: pulumi
          .all([service.fingerprint, publicHost.server.fingerprint])
          .apply((parts) => fingerprintOf(parts.join())),
      },
      { parent: this, dependsOn: [service, ...returnPaths] },
    );

    this.endpoints = pulumi.all([publicHost.address, pulumi.all(ports)]).apply(([address, numbers]) =>
      Object.fromEntries(
        forwards.map((forward, index) => [
          forward.name,
          {
            endpoint: hostPort(publicName(forward, address), numbers[index] ?? 0),
            target: hostPort(forward.targetHost, forward.targetPort),
          },
        ]),
      ),
    );
    this.logins = (args.returnPath ?? []).map((path) => ({
      on: outside.name,
      as: path.from,
      command: `ssh ${path.alias ?? name}`,
    }));
    this.units = { [inside.name]: [...service.units], [outside.name]: [health.unit] };
    this.registerOutputs({ endpoints: this.endpoints, logins: this.logins, units: this.units });
  }

  /** It can do nothing but forward: no home, and a shell only for the one forced command. */
  private publicAccount(name: string, host: PublicHost["host"]): Account {
    return new Account(
      `${onHost(name, host.name)}-account`,
      { host, account: tunnelAccount(name), group: tunnelGroup, home: "/", shell: "/bin/sh" },
      { parent: this },
    );
  }

  private internalAccount(name: string, host: InternalHost["host"], after: pulumi.Resource[]): Account {
    const account = tunnelAccount(name);
    return new Account(
      `${name}-internal-account`,
      { host, account, group: account, home: `/var/lib/${account}`, shell: "/usr/sbin/nologin" },
      { parent: this, dependsOn: after },
    );
  }

  /** The same login the other way round, through one of the forwards. */
  private returnPath(
    name: string,
    args: ReverseTunnelArgs,
    path: ReturnPathArgs,
    forwards: { forward: Forward; port: pulumi.Output<number> }[],
    remotePorts: RemotePorts,
  ): SshLogin {
    const via = forwards.find(({ forward }) =>
      path.via ? forward.name === path.via : forward.protocol === "ssh",
    );
    if (!via) {
      throw inputError(
        `the tunnel '${name}' has no ${path.via ? `forward '${path.via}'` : "forward to an SSH port"}; its return path from '${path.from}' needs one`,
        this,
      );
    }
    const alias = path.alias ?? name;
    return new SshLogin(
      // No account has a dot in its name, so no two logins have the same.
      `${onHost(name, args.publicHost.host.name)}-return-${path.from}.${alias}`,
      {
        from: { host: args.publicHost.host, account: path.from },
        to: args.internalHost.host,
        client: {
          file: alias,
          aliases: [alias],
          address: checkAddress(via.forward),
          port: via.port,
          account: path.to,
          hostKeys: args.internalHost.hostKeys,
          options: returnClientOptions,
        },
        keyOptions: returnKeyOptions(via.forward.targetHost),
        after: [remotePorts],
      },
      { parent: this },
    );
  }
}

function checkArguments(tunnel: ReverseTunnel, name: string, args: ReverseTunnelArgs): void {
  if (!namePatterns.tunnel.test(name)) {
    throw inputError(
      `'${name}' is not a valid name for a tunnel, since accounts and units are named after it; use a to z, 0 to 9 and '-', beginning with a letter, at most 24 characters`,
      tunnel,
    );
  }
  if (Object.keys(args.forwards).length === 0) {
    throw inputError(`the tunnel '${name}' has no forwards; give it at least one`, tunnel);
  }
  const paths = args.returnPath ?? [];
  for (const account of [args.account, ...paths.flatMap(({ from, to }) => [from, to])]) {
    if (account !== undefined && !namePatterns.account.test(account)) {
      throw inputError(
        `the tunnel '${name}': '${account}' is not a valid name for an account; use a to z, 0 to 9, '_' and '-', at most 32 characters`,
        tunnel,
      );
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

/**
 * What belongs to a tunnel on a public host is named after both: a tunnel that moves to another is then removed from the
 * old one. Neither has a dot in its name, so no two are the same.
 */
function onHost(tunnel: string, host: string): string {
  return `${tunnel}-on.${host}`;
}

/**
 * The ports that the settings ask for, as part of a name: another set is another resource, and Pulumi removes the old one
 * last of all, when the tunnel has shown that it works with the new one.
 */
function setOf(forwards: Forward[]): string {
  return [...new Set(forwards.map(({ remotePort }) => `.${remotePort}`))].sort().join("");
}

/**
 * The client's side of a tunnel. TCP itself may take hours to find a dead peer; these take seconds. How the host gets out
 * (a proxy, an address of its own) and what its cryptography must be stays its administrator's to say.
 */
function tunnelClientOptions(keepAlive: KeepAlive): Record<string, string | number> {
  return {
    BatchMode: "yes",
    ConnectTimeout: keepAlive.connectTimeoutSec,
    ConnectionAttempts: 1, // the pauses between attempts are ours
    ServerAliveInterval: keepAlive.serverAliveIntervalSec,
    ServerAliveCountMax: keepAlive.serverAliveCountMax,
    ExitOnForwardFailure: "yes",
    ChannelTimeout: "none", // connections through a forward may be idle
    LogLevel: "INFO", // the journal says why a tunnel does not come up
  };
}

/** The client's side of a return path, which goes to this very host. */
const returnClientOptions = {
  ServerAliveInterval: 15,
  ServerAliveCountMax: 3,
  // The internal host may ask for more than the key, say a one-time password.
  PreferredAuthentications: "publickey,keyboard-interactive,password",
  // Its key permits none, and those of every host are for neither.
  ClearAllForwardings: "yes",
  // A way out of this host would lead to somebody else's port of that number.
  ProxyCommand: "none",
  AddressFamily: "any",
};

/** A forward as the checks on the hosts take it. */
function checkFields(forward: Forward, port: pulumi.Output<number>): pulumi.Output<string> {
  return pulumi.interpolate`${forward.name},${checkAddress(forward)},${port},${forward.protocol},${forward.targetHost},${forward.targetPort},${forward.listen}`;
}

/** The address to tell people: the public host's where everyone may come, else the one that is listened on. */
function publicName(forward: Forward, address: string): string {
  return listensEverywhere(forward) ? address : bindAddress(forward);
}
