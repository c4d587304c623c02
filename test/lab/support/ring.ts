import type { Host } from "../../../lab/host.ts";
import type { Lab } from "../../../lab/lab.ts";
import { labAdmin } from "../../../lab/program.ts";
import type { HostStatus } from "../../../tools/status.ts";
import type { Part } from "./settings.ts";

/**
 * Hosts in a ring, each of which is the public host of one tunnel and the internal host of the next: few of them have
 * every kind of host on either side, and on the other side another.
 */
export class Ring {
  public constructor(
    private readonly lab: Lab,
    private readonly names: string[],
  ) {}

  /** The host that the tunnel from this one leads to. */
  public publicHostOf(name: string): string {
    return this.neighbour(name, 1);
  }

  /** The host whose tunnel leads to this one. */
  public internalHostOf(name: string): string {
    return this.neighbour(name, -1);
  }

  /** The two ends of each of a host's two tunnels: first the one that leads to it. */
  public tunnelsOf(name: string): { from: string; to: string }[] {
    return [
      { from: this.internalHostOf(name), to: name },
      { from: name, to: this.publicHostOf(name) },
    ];
  }

  /** Settings of a tunnel from each host, `from-<host>`, to the next. */
  public settings(): Part {
    const hosts = this.names.map((name) => this.lab.host(name));
    const tunnel = (host: Host) => ({
      ...labAdmin(this.lab, host),
      publicHost: this.publicHostOf(host.name),
      forwards: { ssh: { remotePort: 2222, target: 22 } },
      returnPath: [
        { from: "root", to: "root" },
        { from: "alice", to: "alice" },
      ],
    });
    return {
      publicHosts: Object.fromEntries(hosts.map((host) => [host.name, labAdmin(this.lab, host)])),
      internalHosts: Object.fromEntries(hosts.map((host) => [`from-${host.name}`, tunnel(host)])),
    };
  }

  /** What comes back of a text that goes through the tunnel from this host and is turned round there; "" where it is cut. */
  public async through(from: string): Promise<string> {
    const login = `timeout 10 ssh -o ConnectTimeout=2 from-${from} hostname`;
    const publicHost = this.lab.host(this.publicHostOf(from));
    return (await publicHost.run(login, { allowFailure: true })).stdout;
  }

  /** What the checks have found of the tunnel from this host, on the side of that one. */
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
