import type * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { account } from "./parts/account/account.ts";
import { authorizedKey } from "./parts/authorizedKey/authorizedKey.ts";
import { clientConfig } from "./parts/clientConfig/clientConfig.ts";
import { FirewallPorts } from "./parts/firewallPorts/firewallPorts.ts";
import type { Forward } from "./settings/forward.ts";
import {
  bindAddress,
  probeAddress,
  forwardWord,
  hostPort,
  isOpen,
  listensEverywhere,
} from "./settings/forward.ts";
import { endSessions } from "./parts/endSessions/endSessions.ts";
import { healthCheck, healthTimer } from "./parts/healthCheck/healthCheck.ts";
import type { Host } from "./remote/host.ts";
import { takenBack } from "./remote/host.ts";
import type { KeepAlive } from "./settings/keepAlive.ts";
import { keyPair, publicKeyFrom } from "./parts/keyPair/keyPair.ts";
import { loginCheck } from "./parts/loginCheck/loginCheck.ts";
import { knownHost } from "./parts/knownHost/knownHost.ts";
import { fingerprintOf } from "./remote/fingerprint.ts";
import { fingerprintOfScript, trialValues } from "./remote/remoteComponent.ts";
import { portInVisit, portsFrom, randomStarts, remotePorts } from "./parts/remotePorts/remotePorts.ts";
import type { Kept, Part, RemoteScriptArgs } from "./remote/remoteScript.ts";
import { keptBy, remoteScript } from "./remote/remoteScript.ts";
import { loginKeyOptions, tunnelKeyOptions, tunnelKeyPermits } from "./render/authorizedKeyLine.ts";
import { tunnelGroup, tunnelKeysFile } from "./render/sshdDropIn.ts";
import { selinuxPorts } from "./parts/selinuxPorts/selinuxPorts.ts";
import type { ClientSide } from "./parts/clientConfig/clientOptions.ts";
import { clientOptionsOf } from "./parts/clientConfig/clientOptions.ts";
import { tunnelStop } from "./parts/tunnelStop/tunnelStop.ts";
import { tunnelCheck } from "./parts/tunnelCheck/tunnelCheck.ts";
import type { InternalHost } from "./internalHost.ts";
import type { Names } from "./names.ts";
import { namesOf } from "./names.ts";
import type { PublicHost } from "./publicHost.ts";
import type { Login, ReverseTunnelArgs, TunnelPlan } from "./tunnelPlan.ts";
import { planTunnel } from "./tunnelPlan.ts";
import { defaultTimeoutSec, tunnelService, tunnelUnits } from "./parts/tunnelService/tunnelService.ts";
import type { Via } from "./parts/tunnelService/wayOut.ts";

/** How to reach something through a tunnel. */
export interface Endpoint {
  /** Where it listens on the public host. @example "gate.example.org:8080" */
  endpoint: string;
  /** Where it leads on the internal host. */
  target: string;
}

/** A stage that has been declared. */
interface Stage {
  command: command.remote.Command;
  /** What it has kept for a later stage to sweep; the token of `start` changes each time that it runs. */
  kept: Kept;
}

/** The public key of each login, in order. */
type LoginKeys = pulumi.Output<string>[];

/**
 * An ssh connection from an internal host to a public host: both ends, its forwards, its logins back.
 *
 * It is set up in stages, each of which is one visit to one host. New things are added first, and what they replace is
 * removed once they are confirmed: `admit` adds on the public host, and `settle` sweeps. See docs/design.md, "The stages
 * of a tunnel".
 *
 * @example
 * ```ts
 * const gate = new PublicHost("gate", { connection: { host: "gate.example.org", hostKey, privateKey } });
 * const nas = new InternalHost("nas", { connection: { host: "192.168.1.10", hostKey: nasKey, privateKey } });
 * new ReverseTunnel("nas", {
 *   internalHost: nas,
 *   publicHost: gate,
 *   forwards: { ssh: { remotePort: 2222, target: 22 } },
 *   logins: [{ from: "root", to: "root" }],
 * });
 * ```
 *
 * The name is part of account and unit names: `a-z`, `0-9` and `-`, at most 24 characters. Other names throw.
 */
export class ReverseTunnel extends pulumi.ComponentResource {
  /** For each forward, where it listens and where it leads. */
  public readonly endpoints: pulumi.Output<Record<string, Endpoint>>;
  /** For each login back, the exact command to type on the public host, and the account that may type it. */
  public readonly logins: { on: string; as: string; command: string }[];
  /** The systemd units, by host. */
  public readonly units: Record<string, string[]>;
  /** What has to be there as long as something connects through the tunnel. */
  public admitted!: pulumi.Resource;

  /** Its hosts. */
  public readonly ends: (PublicHost | InternalHost)[];

  private readonly plan!: TunnelPlan;
  private readonly args: ReverseTunnelArgs;
  private readonly inside: Host;
  private readonly outside: Host;
  /** What changes the internal host's end. */
  private started: pulumi.Resource | undefined;

  constructor(name: string, args: ReverseTunnelArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ssh-reverse-tunnel:index:ReverseTunnel", name, {}, opts);
    this.args = args;
    this.ends = [args.internalHost, args.publicHost];
    this.inside = args.internalHost.host;
    // What fails there is this tunnel's failure.
    this.outside = { ...args.publicHost.host, report: this.inside.report };
    args.internalHost.tunnels.push(this);
    if (this.inside.gone || this.outside.gone) {
      this.endpoints = pulumi.output<Record<string, Endpoint>>({});
      [this.logins, this.units] = [[], {}];
      this.leave(name);
      this.registerOutputs({});
      return;
    }
    this.plan = planTunnel(name, args, this);
    if (this.inside.ways?.through === name) args.internalHost.way = this;

    const prepare = this.prepare();
    const key = publicKeyFrom(this.inside, prepare.command.stdout, keyOf(this.plan));
    const starts = this.startsOfPorts();
    const logins = this.loginKeys();
    // A tunnel that is disabled is stopped first: if that fails, its key is still good.
    const stop = this.plan.enabled ? undefined : this.stop(logins.publicKeys, prepare);
    const admit = this.admit(key, starts, stop);
    this.admitted = admit.command;
    this.inside.ways?.admits.set(name, admit.command);
    const ports = portsFrom(this.outside, admit.command.stdout, { ...this.plan, starts });
    const firewall = this.openFirewall(ports, admit);
    const start = stop ?? this.start({ key, ports, loginKeys: logins.publicKeys }, prepare, admit, firewall);
    this.started = start.command;
    const settle = this.settle(ports, { admit, firewall, start, loginKeys: logins.stage });
    this.finish(start, settle);

    this.endpoints = this.endpointsAt(ports);
    this.logins = this.plan.logins.map(({ from, alias }) => ({
      on: this.outside.name,
      as: from,
      command: `ssh ${alias}`,
    }));
    this.units = { [this.inside.name]: tunnelUnits(name), [this.outside.name]: [healthTimer()] };
    this.registerOutputs({ endpoints: this.endpoints, logins: this.logins, units: this.units });
  }

  /** Internal host: the account that runs the tunnel, and its key. */
  private prepare(): Stage {
    const { name, names, ownsAccount, account: user } = this.plan;
    const home = { group: user, home: `/var/lib/${user}`, shell: "/usr/sbin/nologin" };
    return this.stage(names.prepare, {
      host: this.inside,
      what: `the key of the tunnel ${name}`,
      parts: [
        ...(ownsAccount ? [account({ account: user, ...home })] : []),
        keyPair({
          ...keyOf(this.plan),
          comment: `${user}@${this.inside.name}`,
          types: this.args.publicHost.keyTypes,
        }),
      ],
      keepsStale: true,
      // If the admin connects through the tunnel, nobody can connect once it is gone, so the removal of `start` undoes
      // this as well. If `start` has never succeeded there, what this stage has created stays behind.
      removes: this.inside.throughTunnel === undefined,
    });
  }

  private startsOfPorts(): Record<string, pulumi.Output<number>> {
    const { allForwards, portRange, names } = this.plan;
    return randomStarts(allForwards, portRange, names.startOf, { parent: this });
  }

  /** Internal host: stops a tunnel that is disabled. */
  private stop(loginKeys: LoginKeys, prepare: Stage): Stage {
    const { name, names } = this.plan;
    return this.stage(
      names.start,
      {
        host: this.inside,
        what: `the tunnel ${name}`,
        parts: [...this.authorizedLogins(loginKeys), tunnelStop({ tunnel: name })],
        undoes: this.inside.throughTunnel ? [names.start, names.prepare] : [names.start],
        values: trialValues(this.inside, `tunnel-${name}`, "now"),
      },
      [prepare.command, ...this.inTurn()],
    );
  }

  /** Public host: the account, the ports, and the key, which also keeps its earlier permits. */
  private admit(
    publicKey: pulumi.Output<string>,
    starts: Record<string, pulumi.Output<number>>,
    stop: Stage | undefined,
  ): Stage {
    const {
      name,
      names,
      enabled,
      forwards,
      portRange,
      publicAccount,
      ownsAccount,
      account: user,
    } = this.plan;
    const { evictStale, installPackages, managedBy } = this.args.publicHost;
    const inVisit = forwards.map((forward) => ({ forward, port: portInVisit(forward) }));
    const script: RemoteScriptArgs = {
      host: this.outside,
      what: `what the tunnel ${name} may do`,
      parts: [
        // It can only forward: no home, and a shell only for its forced command.
        account({ account: publicAccount, group: tunnelGroup, home: "/", shell: "/bin/sh" }),
        remotePorts({
          account: publicAccount,
          forwards,
          starts,
          portRange,
          admin: this.adminPort(),
        }),
        selinuxPorts({ ports: inVisit.map(({ port }) => port), installPackages }),
        authorizedKey({
          name: names.tunnelKey(ownsAccount ? undefined : user, this.plan.keyId),
          account: publicAccount,
          publicKey,
          options: tunnelKeyOptions(evictStale, enabled),
          permits: tunnelKeyPermits(inVisit),
          file: tunnelKeysFile.replace("%u", publicAccount),
          managedBy,
        }),
        ...(enabled ? [] : [endSessions({ account: publicAccount })]),
      ],
      keepsStale: true,
      undoes: [names.settle, names.admit],
    };
    return this.stage(names.admit, script, stop ? [stop.command] : []);
  }

  /** Internal host: who may log in. */
  private authorizedLogins(publicKeys: LoginKeys): Part[] {
    const { names, logins } = this.plan;
    return logins.map(({ from, to, alias, via, keyId }, index) =>
      authorizedKey({
        name: names.loginKey(from, alias, keyId),
        account: to,
        publicKey: publicKeys[index]!,
        options: loginKeyOptions(via.targetHost),
        target: { host: via.targetHost, port: via.targetPort },
        otherNames: names.loginKeysOf(from),
      }),
    );
  }

  /** The port of the public host by which Pulumi reaches the internal host, if not through this tunnel. */
  private adminPort(): { port: pulumi.Input<number>; inside: string } | undefined {
    const { connection, throughTunnel, name } = this.inside;
    const { proxy, port = 22 } = connection;
    const bastion = proxy && "host" in proxy ? proxy.host : undefined;
    return throughTunnel === undefined && bastion !== undefined && bastion === this.outside.connection.host
      ? { port, inside: name }
      : undefined;
  }

  /** Public host: the firewall, for the ports open to others. */
  private openFirewall(ports: pulumi.Output<number>[], admit: Stage): FirewallPorts | undefined {
    const open = this.withPorts(ports).filter(({ forward }) => isOpen(forward));
    if (open.length === 0) return undefined;
    return new FirewallPorts(
      this.plan.names.firewall,
      {
        host: this.outside,
        ports: open.map(({ forward, port }) => ({
          port,
          address: listensEverywhere(forward) ? undefined : forward.listen,
          sources: forward.sources,
        })),
        keepsStale: true,
      },
      { parent: this, dependsOn: [admit.command] },
    );
  }

  /** Public host: the keys of the logins back. */
  private loginKeys(): { publicKeys: LoginKeys; stage: Stage | undefined } {
    const { name, names, logins } = this.plan;
    if (logins.length === 0) return { publicKeys: [], stage: undefined };
    const stage = this.stage(names.loginKeys, {
      host: this.outside,
      what: `the keys of the logins to ${name}`,
      parts: logins.map((login) =>
        keyPair({
          ...keyOfLogin(login),
          comment: `${login.from}@${this.outside.name}`,
          types: this.args.internalHost.keyTypes,
        }),
      ),
      keepsStale: true,
    });
    return {
      publicKeys: logins.map((login) => publicKeyFrom(this.outside, stage.command.stdout, keyOfLogin(login))),
      stage,
    };
  }

  /**
   * Internal host: who may log in, and the service. A running tunnel is changed on trial. If the admin connects through
   * it, the change waits until the script's session has ended, and `confirm` is the new login that confirms it.
   */
  private start(
    given: { key: pulumi.Output<string>; ports: pulumi.Output<number>[]; loginKeys: LoginKeys },
    prepare: Stage,
    admit: Stage,
    firewall: FirewallPorts | undefined,
  ): Stage {
    const { name, names, forwards, logins } = this.plan;
    const timeoutSec = this.args.timeoutSec ?? defaultTimeoutSec;
    const script = (confirm: "no" | "yes" | "now"): RemoteScriptArgs => ({
      host: this.inside,
      what: `the tunnel ${name}`,
      parts: [...this.authorizedLogins(given.loginKeys), this.service(given)],
      record: names.start,
      // A login's earlier name is needed until `settle` has written the new one. Others end now, whatever keeps `settle`
      // from succeeding.
      ...(logins.length > 0 ? { keepsStale: "renamed" } : {}),
      settles: [prepare.kept],
      undoes: this.inside.throughTunnel ? [names.start, names.prepare] : [names.start],
      values: trialValues(this.inside, `tunnel-${name}`, confirm, timeoutSec + 30),
    });
    const after = [
      admit.command,
      ...(this.args.publicHost.server ? [this.args.publicHost.server] : []),
      // Nothing listens before the firewall blocks the others.
      ...(firewall && forwards.some(({ sources }) => sources) ? [firewall] : []),
      ...this.inTurn(),
    ];
    if (!this.inside.throughTunnel) return this.stage(names.start, script("now"), after);
    const { command: change } = this.stage(names.start, script("no"), after);
    const confirm = { ...script("yes"), removes: false, ifRefused: takenBack(this.inside, "the tunnel") };
    return this.stage(names.confirm, confirm, [change]);
  }

  /**
   * If the connection goes through one of several tunnels, that one, which is declared last, is changed last: once the
   * others work. And it stays until the others are removed. A tunnel that does not answer is not waited for.
   */
  private inTurn(): pulumi.Input<pulumi.Resource>[] {
    const { internalHost } = this.args;
    const { ways } = this.inside;
    if (!ways) return [];
    if (this.plan.name === ways.through) {
      return internalHost.tunnels.flatMap(({ plan, started }) =>
        started && ways.others.includes(plan.name) ? [started] : [],
      );
    }
    return [Promise.resolve().then(() => internalHost.way?.admitted ?? this.admitted)];
  }

  /** A host is gone: its end is kept as it is, without a command, and the other end is removed. */
  private leave(name: string): void {
    const { inside, outside } = this;
    const names = namesOf(name, inside, outside);
    stay(names.prepare, inside, this);
    if (inside.gone) stay(names.start, inside, this);
    else {
      this.stage(names.start, {
        host: inside,
        what: `the tunnel ${name}`,
        parts: [],
        undoes: [names.start, names.prepare],
        removesNow: true,
      });
    }
    // What is not declared is deleted.
    if (outside.gone) stayOnPublicHost(names, outside, this);
  }

  private service(given: { key: pulumi.Output<string>; ports: pulumi.Output<number>[] }) {
    const { name, keepAlive, account: user, publicAccount } = this.plan;
    const { publicHost, watchdogIntervalSec, textfileDirectory, timeoutSec } = this.args;
    return tunnelService({
      host: this.inside,
      tunnel: name,
      account: user,
      login: {
        file: name,
        keyFile: this.plan.keyFile,
        // A name of our own: the account may have another use for that of the host.
        aliases: [`ssh-tunnel-${name}`],
        address: publicHost.address,
        port: publicHost.sshPort,
        account: publicAccount,
        hostKeys: publicHost.hostKeys,
        options: tunnelClientOptions(keepAlive),
      },
      remoteForwards: this.withPorts(given.ports).map(
        ({ forward, port }) =>
          pulumi.interpolate`${port.apply((number) => hostPort(bindAddress(forward), number))}:${hostPort(forward.targetHost, forward.targetPort)}`,
      ),
      forwards: this.forwardWords(given.ports),
      restartSec: keepAlive.restartSec,
      restartMaxDelaySec: keepAlive.restartMaxDelaySec,
      fingerprint: given.key.apply(fingerprintOf),
      ...(watchdogIntervalSec === undefined ? {} : { watchdogIntervalSec }),
      ...(timeoutSec === undefined ? {} : { timeoutSec }),
      textfileDirectory,
      via: this.via(given.key),
    });
  }

  /** What is between the internal host and the public host. */
  private via(publicKey: pulumi.Output<string>): Via {
    const { name, proxy, keepAlive } = this.plan;
    const { proxy: { password } = {}, proxyJump } = this.args;
    return {
      proxy: proxy && { ...proxy, password },
      jump: proxyJump && {
        login: {
          file: name,
          keyFile: this.plan.keyFile,
          aliases: [`ssh-tunnel-${name}.jump`],
          address: proxyJump.address,
          port: proxyJump.port ?? 22,
          account: proxyJump.user,
          hostKeys: [proxyJump.hostKey],
          // Its banner would hide what its ssh says.
          options: { ...tunnelClientOptions(keepAlive), LogLevel: "ERROR" },
        },
        publicKey,
      },
    };
  }

  /**
   * Public host: the logins and the health check. Each forward must work, then what the earlier stages there have kept is
   * removed, and each login must work.
   */
  private settle(
    ports: pulumi.Output<number>[],
    stages: {
      admit: Stage;
      firewall: FirewallPorts | undefined;
      start: Stage;
      loginKeys: Stage | undefined;
    },
  ): Stage {
    const { name, names, enabled } = this.plan;
    const { publicHost, healthIntervalSec } = this.args;
    const logins = this.plan.logins.filter(({ via }) => via.enabled);
    const { admit, firewall, start, loginKeys } = stages;
    return this.stage(
      names.settle,
      {
        host: this.outside,
        what: `the checks and logins of the tunnel ${name}`,
        parts: [
          ...logins.flatMap((login) => this.loginParts(login, ports)),
          healthCheck({
            host: this.outside,
            tunnel: name,
            forwards: this.forwardWords(ports),
            ...(enabled ? {} : { enabled }),
            ...(healthIntervalSec === undefined ? {} : { intervalSec: healthIntervalSec }),
            textfileDirectory: publicHost.textfileDirectory,
          }),
          ...(enabled ? this.checks(ports, logins, stages) : []),
        ],
        settles: [admit, ...(loginKeys ? [loginKeys] : []), ...(firewall ? [firewall] : [])].map(
          ({ kept }) => kept,
        ),
        // If it fails the first time, Pulumi forgets it but not `admit`, whose removal undoes this as well.
        removes: false,
      },
      [
        admit.command,
        start.command,
        ...(firewall ? [firewall] : []),
        ...(loginKeys ? [loginKeys.command] : []),
      ],
    );
  }

  /** Public host: each forward must work, and each login. */
  private checks(
    ports: pulumi.Output<number>[],
    logins: Login[],
    { admit, start }: { admit: Stage; start: Stage },
  ): Part[] {
    const { name, publicAccount } = this.plan;
    const timeoutSec = this.args.timeoutSec === undefined ? {} : { timeoutSec: this.args.timeoutSec };
    return [
      tunnelCheck({
        account: publicAccount,
        forwards: this.forwardWords(ports),
        ...timeoutSec,
        lookAt: `'journalctl -u ${tunnelUnits(name)[0]}' on ${this.inside.name} and 'journalctl -u ssh -u sshd' on ${this.outside.name}`,
        // Each of these changes may break the tunnel. And whenever `start` has run, this must check again: the
        // settings may have been reverted after a failed check, which Pulumi does not remember.
        fingerprint: pulumi
          .all([
            ...[admit, start].map(({ command }) => fingerprintOfScript(command)),
            this.args.publicHost.server?.fingerprint ?? "",
            start.kept.token,
          ])
          .apply((all) => fingerprintOf(all.join())),
      }),
      ...(logins.length > 0
        ? [
            loginCheck({
              logins: logins.map(({ from, alias, via }) => ({ from, alias, forward: via.name })),
              inside: this.inside.name,
              ...timeoutSec,
            }),
          ]
        : []),
    ];
  }

  /** Internal host, if there are logins back: removes those that have another name now, since that is in place. */
  private finish(start: Stage, settle: Stage): void {
    const { name, names, logins } = this.plan;
    if (logins.length === 0) return;
    const args = {
      host: this.inside,
      what: `the earlier logins of the tunnel ${name}`,
      parts: [],
      settles: [start.kept],
      removes: false,
    };
    this.stage(names.finish, args, [start.command, settle.command]);
  }

  /** What `ssh <alias>` needs on the public host besides its key. */
  private loginParts({ from, to, alias, via, keyFile }: Login, ports: pulumi.Output<number>[]) {
    const client: ClientSide = {
      file: alias,
      keyFile,
      aliases: [alias],
      address: probeAddress(via),
      port: ports[this.plan.forwards.indexOf(via)]!,
      account: to,
      hostKeys: this.args.internalHost.hostKeys,
      options: loginClientOptions,
    };
    return [
      knownHost({ account: from, file: `${alias}.known_hosts`, alias, hostKeys: client.hostKeys }),
      clientConfig({
        account: from,
        file: `${alias}.conf`,
        patterns: client.aliases,
        options: clientOptionsOf(client),
      }),
    ];
  }

  private stage(name: string, args: RemoteScriptArgs, after: pulumi.Input<pulumi.Resource>[] = []): Stage {
    const command = remoteScript(name, args, { parent: this, after });
    return { command, kept: keptBy(args.record ?? name, command.stdout) };
  }

  private withPorts(ports: pulumi.Output<number>[]): { forward: Forward; port: pulumi.Output<number> }[] {
    return this.plan.forwards.map((forward, index) => ({ forward, port: ports[index]! }));
  }

  private forwardWords(ports: pulumi.Output<number>[]): pulumi.Output<string>[] {
    return this.withPorts(ports).map(({ forward, port }) =>
      port.apply((number) => forwardWord(forward, number)),
    );
  }

  private endpointsAt(ports: pulumi.Output<number>[]): pulumi.Output<Record<string, Endpoint>> {
    return pulumi.all([this.args.publicHost.address, pulumi.all(ports)]).apply(([address, numbers]) =>
      Object.fromEntries(
        this.plan.forwards.map((forward, index) => [
          forward.name,
          {
            endpoint: hostPort(publicName(forward, address), numbers[index] ?? 0),
            target: hostPort(forward.targetHost, forward.targetPort),
          },
        ]),
      ),
    );
  }
}

/** Declares a stage without a command, so that nothing connects to its host, now and when it is deleted. */
function stay(stage: string, host: Host, parent: pulumi.Resource): void {
  remoteScript(stage, { host: { ...host, gone: true }, what: "", parts: [] }, { parent });
}

/** All that there may be, since the settings may have changed together with `gone`. */
function stayOnPublicHost(names: Names, host: Host, parent: pulumi.Resource): void {
  for (const stage of [names.admit, names.loginKeys]) stay(stage, host, parent);
  new FirewallPorts(names.firewall, { host, ports: [] }, { parent });
}

/** Leaves what a tunnel has had on a host that is gone, without a command, after it has moved to another. */
export function leaveBehind(tunnel: string, gone: PublicHost | InternalHost, parent: pulumi.Resource): void {
  const names = namesOf(tunnel, gone.host, gone.host);
  if ("server" in gone) stayOnPublicHost(names, gone.host, parent);
  else for (const stage of [names.prepare, names.start]) stay(stage, gone.host, parent);
}

const keyOf = ({ account: user, keyFile }: TunnelPlan) => ({ account: user, file: keyFile });

const keyOfLogin = ({ from, keyFile }: Login) => ({ account: from, file: keyFile });

/**
 * The client's options for a tunnel. TCP itself may take hours to detect a dead peer; these take seconds. How the host
 * reaches the network (a source address, and a proxy unless the settings name one) and which cryptography it must use is
 * left to its administrator.
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
    LogLevel: "INFO", // the journal then has the reason if a tunnel does not come up
  };
}

/** The client's options for a login back, which goes to this host itself. */
const loginClientOptions = {
  ServerAliveInterval: 15,
  ServerAliveCountMax: 3,
  // The internal host may require more than the key, such as a one-time password.
  PreferredAuthentications: "publickey,keyboard-interactive,password",
  // Its key permits no forwards, and those that the host's configuration sets for all hosts are not for it.
  ClearAllForwardings: "yes",
  // A proxy outside this host would lead to an unrelated port of that number.
  ProxyCommand: "none",
  AddressFamily: "any",
};

/**
 * The address to show to users: the public host's if everyone can connect, otherwise the address that the forward
 * listens on.
 */
function publicName(forward: Forward, address: string): string {
  return listensEverywhere(forward) ? address : bindAddress(forward);
}
