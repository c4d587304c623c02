import { createHash } from "node:crypto";
import { exec } from "./exec.ts";

/**
 * The network of one lab: a bridge in its own namespace, and one link from there to this machine. This machine's
 * firewall and network manager do not affect what the hosts send to each other there.
 */
export class Network {
  /** The name of the namespace, and of this machine's link into it: at most 15 characters. */
  public readonly name: string;

  public constructor(
    lab: string,
    /** Which /24 of 198.18.0.0/15 the lab has: 0 to 511. */
    public readonly subnet: number,
  ) {
    this.name = networkName(lab);
  }

  /** This machine's own address in the lab. */
  public get gateway(): string {
    return this.address(1);
  }

  /** The IPv4 address with this last number. */
  public address(last: number): string {
    return `198.${18 + (this.subnet >> 8)}.${this.subnet & 255}.${last}`;
  }

  /** The IPv6 address with this last number. */
  public address6(last: number): string {
    return `fd00:198:18:${this.subnet.toString(16)}::${last.toString(16)}`;
  }

  /** The hardware address with this last number: fixed, so that a host keeps its address through a power cut. */
  public mac(last: number): string {
    const bytes = [0x02, 0x1a, 0xb0, this.subnet >> 8, this.subnet & 255, last];
    return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  }

  /** Builds the bridge and the link. */
  public async create(): Promise<void> {
    const { name } = this;
    await exec("ip", ["netns", "add", name]);
    // A bridge takes the lowest address of its ports unless it has a fixed one; snooping would send queries.
    const quiet = ["mcast_snooping", "0", "stp_state", "0", "forward_delay", "0"];
    const bridge = ["link", "add", "bridge", "address", this.mac(254), "type", "bridge", ...quiet];
    await exec("ip", ["-n", name, ...bridge]);
    await exec("ip", [
      "link",
      "add",
      name,
      "address",
      this.mac(1),
      "type",
      "veth",
      "peer",
      "uplink",
      "netns",
      name,
    ]);
    await exec("ip", ["-n", name, "link", "set", "uplink", "master", "bridge", "up"]);
    await exec("ip", ["-n", name, "link", "set", "bridge", "up"]);
    await exec("ip", ["addr", "add", `${this.gateway}/24`, "dev", name]);
    // A machine without IPv6 can still run a lab.
    await exec("ip", ["addr", "add", `${this.address6(1)}/64`, "dev", name, "nodad"], { allowFailure: true });
    await exec("ip", ["link", "set", name, "up"]);
  }

  /** Removes everything of it. */
  public async remove(): Promise<void> {
    await exec("ip", ["link", "del", this.name], { allowFailure: true });
    await exec("ip", ["netns", "del", this.name], { allowFailure: true });
  }

  /**
   * Lets a host's packets through, or drops them all. The bridge's port is disabled, not the link: neither end loses
   * its carrier, as with a dead switch further away.
   */
  public async setLink(host: string, open: boolean): Promise<void> {
    // 3 is forwarding, 0 is disabled.
    const set = ["link", "set", "dev", `to-${host}`, "state", open ? "3" : "0"];
    const result = await exec("bridge", ["-n", this.name, ...set], { allowFailure: true });
    // A host between two boots has no link to set: machine.sh will create it in the right state.
    if (result.exitCode === 0 || result.stderr.includes("Cannot find device")) return;
    throw new Error(`Cannot ${open ? "restore" : "cut"} the link of ${host}: ${result.stderr}`);
  }

  /** Unplugs a host's cable. */
  public async removeLink(host: string): Promise<void> {
    await exec("ip", ["-n", this.name, "link", "del", `to-${host}`], { allowFailure: true });
  }
}

/** The name of a lab's namespace and link: the lab's own if it fits, otherwise its beginning and a hash. */
export function networkName(lab: string): string {
  const hash = createHash("sha256").update(lab).digest("hex");
  return lab.length <= 11 ? `srt-${lab}` : `srt-${lab.slice(0, 5)}-${hash.slice(0, 5)}`;
}

/** The lowest /24 of 198.18.0.0/15, as its number, that nothing on this machine uses. */
export async function freeSubnet(isDefault: boolean): Promise<number> {
  const routes = (await exec("ip", ["-4", "-o", "route", "show", "table", "all"])).stdout;
  const taken = (subnet: number) =>
    routes.includes(` ${new Network("", subnet).address(0)}`.replace(/\.0$/, "."));
  if (isDefault) {
    if (taken(0))
      throw new Error("198.18.0.0/24 is in use on this machine (see ip route): free it, or use --name.");
    return 0;
  }
  for (let subnet = 1; subnet < 512; subnet++) if (!taken(subnet)) return subnet;
  throw new Error("No /24 of 198.18.0.0/15 is free on this machine: take some labs down.");
}
