import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import { hostPort } from "../settings/forward.ts";
import { inputError } from "../settings/inputError.ts";
import type { Proxy } from "../settings/proxy.ts";
import { isProxyPassword, isProxyUser, proxyPasswordWords, proxyUserWords } from "../settings/proxy.ts";
import { assertValid, oneLine } from "./checks.ts";

/**
 * What shell/programs/proxy.sh reads: the proxy's host and port, and then what it says to the proxy, a message on each
 * line: the header of a CONNECT, or the octets of SOCKS5. It has the password, so only the tunnel's account may read it.
 */
export function renderProxyFile(proxy: Proxy, target: { address: string; port: number }): string {
  const { user, password } = proxy;
  if (user !== undefined && !isProxyUser(user))
    throw inputError(`the user of the proxy must be ${proxyUserWords}`);
  if (password !== undefined && !isProxyPassword(password))
    throw inputError(`the password of the proxy must be ${proxyPasswordWords}`);
  const address = assertValid("plain", target.address);
  const port = Number(assertValid("number", target.port));
  const says = proxy.kind === "http" ? connect(proxy, hostPort(address, port)) : socks5(proxy, address, port);
  return [`${assertValid("plain", proxy.host)} ${assertValid("number", proxy.port)}`, ...says]
    .map(oneLine)
    .join("\n");
}

/** RFC 9110, 9.3.6 and 11.7.2; RFC 7617. */
function connect({ user, password = "" }: Proxy, target: string): string[] {
  const credentials = Buffer.from(`${user}:${password}`).toString("base64");
  return [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    ...(user === undefined ? [] : [`Proxy-Authorization: Basic ${credentials}`]),
  ];
}

/** RFC 1928; RFC 1929. The proxy looks up the name. */
function socks5({ user, password = "" }: Proxy, address: string, port: number): string[] {
  const name = Buffer.from(address);
  const destination = isIP(address)
    ? [isIP(address) === 4 ? 1 : 4, ...ipaddr.parse(address).toByteArray()]
    : [3, name.length, ...name];
  const request = [5, 1, 0, ...destination, port >> 8, port & 255];
  if (user === undefined) return [[5, 1, 0], request].map(octets);
  const words = [user, password].map((text) => Buffer.from(text));
  const login = [1, ...words.flatMap((word) => [word.length, ...word])];
  return [[5, 2, 0, 2], request, login].map(octets);
}

/** For the %b of printf(1). */
const octets = (all: number[]) => all.map((octet) => `\\x${octet.toString(16).padStart(2, "0")}`).join("");
