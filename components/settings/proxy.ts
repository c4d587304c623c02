import type * as pulumi from "@pulumi/pulumi";
import { inputError } from "./inputError.ts";

/** A proxy between an internal host and the public host. */
export interface ProxyArgs {
  /** An HTTP proxy that allows CONNECT, or a SOCKS5 proxy. @example "http://proxy.example.org:3128" */
  url: string;
  /** The user to log in as: by Basic at an HTTP proxy, by RFC 1929 at a SOCKS5 proxy. @default none */
  user?: string | undefined;
  /** The user's password, as a secret. @default none */
  password?: pulumi.Input<string> | undefined;
}

/** A jump host between an internal host and the public host. */
export interface ProxyJumpArgs {
  /** Name or address at which the internal host reaches it. */
  address: string;
  /** The port of its sshd. @default 22 */
  port?: number;
  /** The account there, which has the tunnel's key in its authorized_keys. */
  user: string;
  /** Its host key, `type base64`, as in its /etc/ssh/ssh_host_ed25519_key.pub. */
  hostKey: string;
}

/** A proxy with all that is said to it. */
export interface Proxy {
  kind: "http" | "socks5";
  host: string;
  port: number;
  user?: string | undefined;
  password?: string | undefined;
}

const url = /^(http|socks5):\/\/([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})\/?$/;

/** What the URL of a proxy must be, for an error. */
export const proxyUrlWords =
  "'http://host:port' or 'socks5://host:port'; user and password are settings of their own";

/** Kind, host and port of a proxy; undefined if its URL is not one. */
export function parseProxyUrl(text: string): Proxy | undefined {
  const [, kind, host = "", port = ""] = url.exec(text) ?? [];
  if (kind === undefined || Number(port) < 1 || Number(port) > 65535) return undefined;
  return { kind: kind as Proxy["kind"], host: host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

/** What a user and a password must be: SOCKS5 counts their octets with one, and Basic ends the user at a colon. */
export const proxyUserWords = "1 to 255 characters, without ':' and control characters";
export const proxyPasswordWords = "1 to 255 octets, without control characters";

export const isProxyUser = (text: string): boolean => isProxyPassword(text) && !text.includes(":");

export const isProxyPassword = (text: string): boolean =>
  /^[^\p{Cc}]+$/u.test(text) && Buffer.byteLength(text) <= 255;

/** Why user and password do not fit together: "must …"; undefined if they do. */
export function proxyLoginMistake({
  user,
  password,
}: {
  user?: unknown;
  password?: unknown;
}): string | undefined {
  return (user === undefined) === (password === undefined)
    ? undefined
    : "must have both 'user' and 'password', or neither";
}

/** What is known of the proxy before its password. Throws an error if an argument is not valid. */
export function resolveProxy(
  tunnel: string,
  args: ProxyArgs,
  resource?: pulumi.Resource,
): Omit<Proxy, "password"> {
  const proxy = parseProxyUrl(args.url);
  const mistake = proxyLoginMistake(args);
  const refuse = (what: string) => inputError(`the tunnel '${tunnel}': ${what}`, resource);
  if (!proxy) throw refuse(`the url of its proxy must be ${proxyUrlWords}`);
  if (mistake !== undefined) throw refuse(`its proxy ${mistake}`);
  return { ...proxy, user: args.user };
}
