import type { Host } from "../../lab/host.ts";
import { inTurns } from "../../lab/inTurns.ts";
import { Lab } from "../../lab/lab.ts";

/**
 * One tunnel of the fleet: two forwards, to the internal host's sshd and to its web page, and a login back for root.
 */
export interface Tunnel {
  /** The internal host's name, which is also the alias of the login on the public host. */
  name: string;
  host: Host;
  /** Where the forwards listen on the public host. */
  sshPort: number;
  webPort: number;
}

/** Hosts that can still be added while a fleet of a given size is measured. */
const SPARE = 2;

/** Serves the host's own name. */
const PAGE = `mkdir -p /srv/page && hostname >/srv/page/index.html
  systemd-run --quiet --unit bench-page busybox httpd -f -p 127.0.0.1:80 -h /srv/page`;

/** Prints the names of the hosts from the input at which a login or the other forward does not arrive. */
const FIND_LOST = `xargs -r -P 8 -n 2 sh -c '
  login=$(timeout 30 ssh -o BatchMode=yes -o ConnectTimeout=10 "$0" hostname </dev/null 2>/dev/null)
  page=$(timeout 30 busybox wget -qO- "http://127.0.0.1:$1/" 2>/dev/null)
  [ "$login" = "$0" ] && [ "$page" = "$0" ] || echo "$0"'`;

/** A public host and some internal hosts. */
export class Fleet {
  /** The public host. */
  public readonly gate: Host;

  private constructor(
    public readonly lab: Lab,
    /** How many internal hosts it has, without the spare ones. */
    public readonly size: number,
  ) {
    this.gate = lab.host("gate");
  }

  /** Boots it. */
  public static async up(name: string, size: number, onProgress: (line: string) => void): Promise<Fleet> {
    const names = Array.from({ length: size + SPARE }, (_, index) => nameOf(index));
    onProgress(`Booting a public host and ${names.length} internal hosts …`);
    const quietly = (line: string) => (line.startsWith("Booting") ? undefined : onProgress(line));
    const lab = await Lab.up({ name, hosts: ["gate", ...names], onProgress: quietly });
    try {
      await inTurns(names, 8, (host) => lab.host(host).run(PAGE));
    } catch (error) {
      await lab.down();
      throw error;
    }
    return new Fleet(lab, size);
  }

  /** The tunnels of this many hosts; by default of all but the spare ones. */
  public tunnels(count = this.size): Tunnel[] {
    return Array.from({ length: count }, (_, index) => {
      const name = nameOf(index);
      return { name, host: this.lab.host(name), sshPort: 22001 + index, webPort: 28001 + index };
    });
  }

  /**
   * The names of the tunnels through which nothing arrives: neither a login back nor a page through the other forward.
   */
  public async lost(tunnels: Tunnel[]): Promise<string[]> {
    const input = tunnels.map(({ name, webPort }) => `${name} ${webPort}\n`).join("");
    // A command that reports a failure would itself fail.
    const { stdout } = await this.gate.run(`${FIND_LOST}; :`, {
      input,
      timeoutSeconds: 60 + 10 * tunnels.length,
    });
    return stdout.split("\n").filter(Boolean);
  }

  /** The names of the tunnels that still listen. */
  public async left(tunnels: Tunnel[]): Promise<string[]> {
    const { stdout } = await this.gate.run("ss -Hltn");
    const listens = (port: number) => stdout.includes(`127.0.0.1:${port} `);
    return tunnels
      .filter(({ sshPort, webPort }) => listens(sshPort) || listens(webPort))
      .map(({ name }) => name);
  }
}

function nameOf(index: number): string {
  return `h${index + 1}`;
}
