import type { Host } from "../../../lab/host.ts";

/** Fetches a page from one address to another; prints it, or nothing where the way is barred. */
const FETCH = `import http.client, sys
source, target, port = sys.argv[1:]
connection = http.client.HTTPConnection(target, int(port), timeout=1, source_address=(source, 0))
connection.request("GET", "/")
print(connection.getresponse().read().decode().strip())`;

/** A host that comes to another from four addresses: of IPv4 and of IPv6, each in a network "in" and in one "out". */
export class Visitor {
  private constructor(
    private readonly from: Host,
    private readonly to: Host,
  ) {}

  /** Gives the host the addresses that it comes from: until its next boot. */
  static async on(from: Host, to: Host): Promise<Visitor> {
    const visitor = new Visitor(from, to);
    for (const { source, length } of visitor.ways()) {
      await from.run(`ip addr add ${source}/${length} dev eth0 ${source.includes(":") ? "nodad" : ""}`);
    }
    return visitor;
  }

  /** The networks of two of the addresses, IPv4 and IPv6, in which the others are not. */
  networks(which: "in" | "out"): [string, string] {
    const number = which === "in" ? 64 : 128;
    return [this.four(number) + "/26", this.six(number) + "/120"];
  }

  /** What answers at a port of the other host, by the way there; "" where nothing does. */
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
