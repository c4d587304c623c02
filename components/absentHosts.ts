import * as pulumi from "@pulumi/pulumi";
import { InternalHost } from "./internalHost.ts";
import type { KeptComponent, KeptKind, StateTunnel } from "./keptState.ts";
import { KeptState } from "./keptState.ts";
import { PublicHost } from "./publicHost.ts";
import type { Ways } from "./remote/ways.ts";
import { leaveBehind, ReverseTunnel } from "./reverseTunnel.ts";

/** A host, or what is kept of it. */
type SetUp = PublicHost | InternalHost | KeptComponent | undefined;

/** What the settings say about a host here. */
interface HostSettings {
  /** It is off, and stays as it is. */
  skip: boolean;
  /** It will not come back. */
  gone: boolean;
  /** The tunnels that Pulumi may reach it through. */
  ways?: Ways | undefined;
}

/** The hosts that nothing connects to in this run, and what the state has on them. */
export class AbsentHosts {
  /** The names of those that are off. */
  readonly skipped: string[];
  /** The tunnels of the state. */
  private readonly before: StateTunnel[];
  /** Those of them that have something on a host that is off, or would have. They stay as they are. */
  private readonly kept: StateTunnel[];

  private constructor(
    private readonly hosts: Record<string, HostSettings>,
    tunnels: Record<string, { internalHost: string; publicHost: string }>,
    private readonly state: KeptState | undefined,
  ) {
    this.skipped = Object.keys(hosts).filter((name) => hosts[name]!.skip);
    this.before = state?.tunnels() ?? [];
    this.kept = this.before.filter(({ name, hosts: ends }) => {
      const now = tunnels[name];
      return [...ends, now?.internalHost, now?.publicHost].some((end) => this.skipped.includes(end ?? ""));
    });
  }

  /** Reads the state if the settings have such hosts. */
  static async find(
    hosts: Record<string, HostSettings>,
    tunnels: Record<string, { internalHost: string; publicHost: string }>,
  ): Promise<AbsentHosts> {
    const any = Object.values(hosts).some(({ skip, gone }) => skip || gone);
    return new AbsentHosts(hosts, tunnels, any ? await KeptState.read() : undefined);
  }

  /** Keeps a host that is off. */
  keep(kind: KeptKind, name: string): KeptComponent | undefined {
    return this.state?.keep(kind, name);
  }

  /** Whether a tunnel stays as it is, whatever the settings say now. */
  keeps(tunnel: string): boolean {
    return this.kept.some(({ name }) => name === tunnel);
  }

  /**
   * Keeps the tunnels of the hosts that are off, and leaves what the state has on hosts that are gone.
   *
   * @param setUp the hosts of the settings, as they have been declared or kept
   * @param declared the other tunnels
   */
  keepTunnels(
    setUp: Record<string, SetUp>,
    declared: Record<string, ReverseTunnel | undefined>,
  ): Record<string, KeptComponent | undefined> {
    for (const tunnel of this.before) {
      if (!this.keeps(tunnel.name)) leaveGone(tunnel, declared[tunnel.name], setUp);
    }
    // The settings may have lost the other host of a tunnel that is kept.
    const lost = new Set(
      this.kept.flatMap((tunnel) => tunnel.hosts).filter((name) => !Object.hasOwn(this.hosts, name)),
    );
    const others = [...lost].map((name): [string, SetUp] => [
      name,
      this.keep("PublicHost", name) ?? this.keep("InternalHost", name),
    ]);
    const all = { ...setUp, ...Object.fromEntries(others) };
    return Object.fromEntries(
      this.kept.map(({ name, hosts: ends }): [string, KeptComponent | undefined] => {
        const tunnel = this.state?.keep(
          "ReverseTunnel",
          name,
          ends.flatMap((end) => setUpOf(all[end])),
        );
        // Pulumi may reach the internal host through it.
        if (tunnel?.admitted)
          for (const end of ends) this.hosts[end]?.ways?.admits.set(name, tunnel.admitted);
        return [name, tunnel];
      }),
    );
  }
}

/** Leaves what a tunnel of the state has on hosts that are gone, unless it still ends there by the settings. */
function leaveGone(before: StateTunnel, now: ReverseTunnel | undefined, setUp: Record<string, SetUp>): void {
  const ends = before.hosts.flatMap((name) => {
    const host = setUp[name];
    return host instanceof PublicHost || host instanceof InternalHost ? [host] : [];
  });
  const gone = ends.filter(({ host }) => host.gone);
  if (gone.length === 0) return;
  const publicHost = [...gone, ...ends].find((end) => end instanceof PublicHost);
  const internalHost = [...gone, ...ends].find((end) => end instanceof InternalHost);
  // One that the settings do not have any more is removed from its other host over the connection that there is now.
  const tunnel =
    now ??
    (internalHost && publicHost
      ? new ReverseTunnel(before.name, { internalHost, publicHost, forwards: {} })
      : new pulumi.ComponentResource("ssh-reverse-tunnel:index:ReverseTunnel", before.name));
  const declared = tunnel instanceof ReverseTunnel ? tunnel.ends : [];
  for (const end of gone) if (!declared.includes(end)) leaveBehind(before.name, end, tunnel);
}

/** What a tunnel waits for on a host. */
function setUpOf(host: SetUp): pulumi.Resource[] {
  if (!host) return [];
  if (!("host" in host)) return host.resources;
  // The connection to the host may go through another of its tunnels, which stays until this one is removed.
  const way = host instanceof InternalHost ? host.way : undefined;
  return [...(host.host.after ?? []), ...(way ? [way.admitted] : [])];
}
