import { shellQuote } from "../../../components/remote/shellQuote.ts";
import type { Host } from "../../../lab/host.ts";
import type { Lab } from "../../../lab/lab.ts";
import { labAdmin } from "../../../lab/program.ts";
import type { HostStatus } from "../../../tools/status.ts";
import type { Part } from "./settings.ts";

/** One of a ring's tunnels: the internal host, and its public host. */
export interface RingTunnel {
  from: string;
  to: string;
}

/**
 * Hosts in a ring, each of which is the public host of one tunnel and the internal host of the next. A few hosts thus
 * test every kind of host on either side, with a different kind on the other side.
 */
export class Ring {
  public constructor(
    private readonly lab: Lab,
    private readonly names: string[],
  ) {}

  /** All tunnels. */
  public tunnels(): RingTunnel[] {
    return this.names.map((from) => ({ from, to: this.publicHostOf(from) }));
  }

  /** The two tunnels of a host: first the one that ends there. */
  public tunnelsOf(name: string): RingTunnel[] {
    return [this.neighbour(name, -1), name].map((from) => ({ from, to: this.publicHostOf(from) }));
  }

  /** The host at which the tunnel from this one ends. */
  public publicHostOf(name: string): string {
    return this.neighbour(name, 1);
  }

  /** Settings of a tunnel from each host, `from-<host>`, to the next. */
  public settings(): Part {
    const hosts = this.names.map((name) => this.lab.host(name));
    const tunnel = (host: Host) => ({
      ...labAdmin(this.lab, host),
      publicHost: this.publicHostOf(host.name),
      forwards: { ssh: { remotePort: 2222, target: 22, probe: "banner" } },
      // Not root, which could log in another way.
      logins: [{ from: "alice", to: "alice" }],
    });
    return {
      publicHosts: Object.fromEntries(hosts.map((host) => [host.name, labAdmin(this.lab, host)])),
      internalHosts: Object.fromEntries(hosts.map((host) => [`from-${host.name}`, tunnel(host)])),
    };
  }

  /** Logs in through the tunnel from this host, as an account other than root, and runs this; "" if it is cut. */
  public async through(from: string, command: string): Promise<string> {
    const login = `timeout 30 ssh -o ConnectTimeout=2 from-${from} ${shellQuote(command)}`;
    const publicHost = this.lab.host(this.publicHostOf(from));
    return (await publicHost.run(`su - alice -c ${shellQuote(login)}`, { allowFailure: true })).stdout;
  }

  /** What the checks have found about the tunnel from this host, on that side. */
  public async state(from: string, side: string): Promise<string | undefined> {
    const { stdout } = await this.lab
      .host(side)
      .run(`su alice -c 'ssh-tunnel-status --json from-${from}'`, { allowFailure: true });
    return (JSON.parse(stdout) as HostStatus).tunnels[0]?.forwards[0]?.state;
  }

  private neighbour(name: string, step: number): string {
    const { names } = this;
    return names.at((names.indexOf(name) + step) % names.length) ?? name;
  }
}
