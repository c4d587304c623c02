import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { inputError } from "./inputError.ts";

/** The valid forms of a network, in words. */
export const networkWords = "a network, '203.0.113.0/24' or '2001:db8::/32', or one address";

/** The error for an empty list. */
export const noNetworks = "must be a list with at least one network; leave it out to admit everyone";

/** A network as firewalld, ufw and nft print it, so that our rules are found again. */
export interface Network {
  /** @example "203.0.113.0/24"; a network of one address is that address */
  text: string;
  family: "ipv4" | "ipv6";
}

/** Parses a network, or returns what it must be. */
export function parseNetwork(text: string): Network | { mistake: string } {
  const [address = "", length, ...more] = text.split("/");
  const version = isIP(address);
  // A network has no zone; nobody comes from an address that contains an IPv4 address.
  if (version === 0 || more.length > 0 || address.includes("%") || (version === 6 && address.includes("."))) {
    return { mistake: `must be ${networkWords}` };
  }
  const bits = version === 4 ? 32 : 128;
  if (length !== undefined && (!/^[0-9]{1,3}$/.test(length) || Number(length) > bits)) {
    return { mistake: `must be ${networkWords}` };
  }
  const prefix = Number(length ?? bits);
  if (prefix === 0) {
    return { mistake: "must not cover every address: leave `sources` out to admit everyone" };
  }
  const family = version === 4 ? ipaddr.IPv4 : ipaddr.IPv6;
  const first = family.networkAddressFromCIDR(`${address}/${prefix}`).toString();
  const network = first + (prefix === bits ? "" : `/${prefix}`);
  if (first !== ipaddr.parse(address).toString()) {
    return { mistake: `must be a network without host bits: ${network}` };
  }
  if (network.startsWith("::")) {
    return {
      mistake: "must be a network that packets can come from: addresses that begin with '::' are not sent",
    };
  }
  return { text: network, family: version === 4 ? "ipv4" : "ipv6" };
}

/** {@link Network.text} of a network. Throws an error if it is not a network. */
export function networkText(text: string): string {
  const network = parseNetwork(text);
  if ("mistake" in network) {
    throw inputError(`${JSON.stringify(text)} ${network.mistake}`);
  }
  return network.text;
}
