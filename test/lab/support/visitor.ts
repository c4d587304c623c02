import type { Host } from "../../../lab/host.ts";

/** Fetches a page from one address to another; prints it, or nothing if the way is blocked. */
const FETCH = `import http.client, sys
source, target, port = sys.argv[1:]
connection = http.client.HTTPConnection(target, int(port), timeout=1, source_address=(source, 0))
connection.request("GET", "/")
print(connection.getresponse().read().decode().strip())`;

/** A host that connects to another from four addresses: IPv4 and IPv6, each in a network "in" and in one "out". */
export class Visitor {
  private constructor(
    private readonly from: Host,
    private readonly to: Host,
  ) {}

  /** Gives the host its source addresses, until its next boot. */
  static async on(from: Host, to: Host): Promise<Visitor> {
    const visitor = new Visitor(from, to);
    for (const { source, length } of visitor.ways()) {
      await from.run(`ip addr add ${source}/${length} dev eth0 ${source.includes(":") ? "nodad" : ""}`);
    }
    return visitor;
  }

  /** The networks of two of the addresses, IPv4 and IPv6, which do not contain the others. */
  networks(which: "in" | "out"): [string, string] {
    const number = which === "in" ? 64 : 128;
    return [this.four(number) + "/26", this.six(number) + "/120"];
  }

  /** The answer at a port of the other host, by the way there; "" if there is none. */
  async reaches(port: number): Promise<Record<string, string>> {
    const answers = this.ways().map(async ({ name, source, target }) => {
      const fetched = await this.from.run(`python3 -c '${FETCH}' ${source} ${target} ${port}`, {
        allowFailure: true,
      });
      return [name, fetched.stdout] as const;
    });
    return Object.fromEntries(await Promise.all(answers));
  }

  private ways() {
    const { address, address6 } = this.to;
    return [
      { name: "in, IPv4", source: this.four(64 + 5), target: address, length: 24 },
      { name: "in, IPv6", source: this.six(64, 5), target: address6, length: 64 },
      { name: "out, IPv4", source: this.four(128 + 5), target: address, length: 24 },
      { name: "out, IPv6", source: this.six(128, 5), target: address6, length: 64 },
    ];
  }

  private four(last: number): string {
    return this.to.address.replace(/\d+$/, String(last));
  }

  private six(network: number, last?: number): string {
    return `${this.to.address6.replace(/::.*$/, "")}:${network}::${last ?? ""}`;
  }
}
