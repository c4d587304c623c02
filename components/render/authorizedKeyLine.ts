import type { Forward } from "../forward.ts";
import { bindAddress, checkAddress, hostPort } from "../forward.ts";
import { oneLine } from "./checks.ts";

/** A line of authorized_keys: options, type and key, and the comment by which the line is found again. */
export function renderAuthorizedKeyLine(options: string[], publicKey: string, marker: string): string {
  const [type, key] = publicKey.trim().split(/\s+/);
  if (!type || !key) {
    throw new Error(`this is no public key: '${publicKey}'`);
  }
  return oneLine([...(options.length > 0 ? [options.join(",")] : []), type, key, marker].join(" "));
}

/**
 * The options of a tunnel's key on the public host (authorized_keys in sshd(8)): it may listen on its own ports, open
 * them again to test itself, and run the takeover. `restrict,port-forwarding` alone would still allow `-L` anywhere.
 */
export function tunnelKeyOptions(forwards: { forward: Forward; port: number }[], takeover: string): string[] {
  return [
    "restrict",
    "port-forwarding",
    `command="${takeover}"`,
    ...forwards.map(({ forward, port }) => `permitlisten="${hostPort(bindAddress(forward), port)}"`),
    ...forwards.map(({ forward, port }) => `permitopen="${hostPort(checkAddress(forward), port)}"`),
  ];
}

/**
 * The options of a return path's key on the internal host: a terminal and commands, nothing else, and only through the
 * tunnel, whose connections come from the internal host itself.
 */
export function returnKeyOptions(targetHost: string): string[] {
  const from = [...new Set(["127.0.0.1", "::1", targetHost])].join(",");
  return ["restrict", "pty", `from="${from}"`];
}
