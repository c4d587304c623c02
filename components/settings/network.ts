import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { inputError } from "./inputError.ts";

/** What a network may look like, in words. */
export const networkWords = "a network, '203.0.113.0/24' or '2001:db8::/32', or one address";

/** What is wrong with a list of none. */
export const noNetworks = "must be a list with at least one network; leave it out where everyone may come";

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
      mistake: "must be a network that somebody can come from: addresses that begin with '::' are not sent",
    };
  }
  return { text: network, family: version === 4 ? "ipv4" : "ipv6" };
}

/** {@link Network.text} of a network. Throws a sentence where it is none. */
export function networkText(text: string): string {
  const network = parseNetwork(text);
  if ("mistake" in network) {
    throw inputError(`${JSON.stringify(text)} ${network.mistake}`);
  }
  return network.text;
}
