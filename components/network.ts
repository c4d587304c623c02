import { isIP } from "node:net";

/** What a network may look like, in words. */
export const networkWords = "a network, '203.0.113.0/24' or '2001:db8::/32', or one address";

/** A network as firewalld, ufw and nft print it, by which they find their own rules again. */
export interface Network {
  /** @example "203.0.113.0/24"; a network of one address is that address */
  text: string;
  family: "ipv4" | "ipv6";
}

/** Reads a network, or says what it must be. */
export function parseNetwork(text: string): Network | { mistake: string } {
  const [address = "", length, ...more] = text.split("/");
  const version = isIP(address);
  // A zone is none of a network; an address with an IPv4 address in it comes from nobody.
  if (version === 0 || more.length > 0 || address.includes("%") || (version === 6 && address.includes("."))) {
    return { mistake: `must be ${networkWords}` };
  }
  const bits = version === 4 ? 32 : 128;
  if (length !== undefined && (!/^[0-9]{1,3}$/.test(length) || Number(length) > bits)) {
    return { mistake: `must be ${networkWords}` };
  }
  const prefix = Number(length ?? bits);
  if (prefix === 0) {
    return { mistake: "must be smaller than all addresses: leave `sources` out where everyone may come" };
  }
  const parts = version === 4 ? address.split(".").map(Number) : groupsOf(address);
  const size = bits / parts.length;
  const masked = parts.map((part, index) => {
    const kept = Math.min(Math.max(prefix - index * size, 0), size);
    return part - (part % 2 ** (size - kept));
  });
  const network = textOf(masked, version) + (prefix === bits ? "" : `/${prefix}`);
  if (masked.some((part, index) => part !== parts[index])) {
    return { mistake: `must be a network without host bits: ${network}` };
  }
  if (network.startsWith("::")) {
    return {
      mistake: "must be a network that somebody can come from: addresses that begin with '::' are not sent",
    };
  }
  return { text: network, family: version === 4 ? "ipv4" : "ipv6" };
}

/** {@link Network.text} of a network. Throws a sentence where it is none. */
export function networkText(text: string): string {
  const network = parseNetwork(text);
  if ("mistake" in network) {
    throw new Error(`${JSON.stringify(text)} ${network.mistake}`);
  }
  return network.text;
}

/** The eight numbers of an IPv6 address. */
function groupsOf(address: string): number[] {
  const [head = [], tail] = address.split("::").map((half) =>
    half
      .split(":")
      .filter((group) => group !== "")
      .map((group) => parseInt(group, 16)),
  );
  return tail === undefined
    ? head
    : [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

/** As inet_ntop writes it, and RFC 5952 asks for: a URL's host is. */
function textOf(parts: number[], version: number): string {
  if (version === 4) return parts.join(".");
  return new URL(`http://[${parts.map((part) => part.toString(16)).join(":")}]/`).hostname.slice(1, -1);
}
