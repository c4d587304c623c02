import type { Forward } from "../settings/forward.ts";
import { bindAddress, probeAddress, hostPort } from "../settings/forward.ts";
import { assertValid, oneLine, oneWord } from "./checks.ts";
import { inputError } from "../settings/inputError.ts";

/** A line of authorized_keys: options, type and key, and the comment by which the line is found again. */
export function renderAuthorizedKeyLine(options: string[], publicKey: string, marker: string): string {
  // The key comes from the other host, which must not be able to widen its own rights: only a key is accepted here.
  const key = oneLine(publicKey.trim()).split(/ +/).slice(0, 2).join(" ");
  const line = [assertValid("publicKey", key), oneWord(marker)];
  return oneLine([...(options.length > 0 ? [options.map(oneOption).join(",")] : []), ...line].join(" "));
}

/** An option as sshd reads it: a name, or `name="value"`, in which a quote is written `\"`. */
function oneOption(option: string): string {
  if (!/^[A-Za-z0-9-]+(="(\\"|[^"\\]|\\(?!"))*")?$/.test(option)) {
    throw inputError(
      `${JSON.stringify(option)} must be one option of authorized_keys: name, or name="value"`,
    );
  }
  return option;
}

/**
 * The options of a tunnel's key on the public host (authorized_keys in sshd(8)), to which its permits are added: it may
 * forward, and run the forced command that ends its earlier sessions. `restrict,port-forwarding` alone would still
 * allow `-L` to anywhere.
 */
export function tunnelKeyOptions(evictStale: string, enabled = true): string[] {
  // Of a tunnel that is disabled, the key has expired.
  const expired = enabled ? [] : ['expiry-time="20000101"'];
  return ["restrict", "port-forwarding", `command="${evictStale}"`, ...expired];
}

/**
 * What a tunnel's key permits: to listen on its own ports, and to connect to them, which lead back to its own host. An
 * authorized_keys file has no `permitopen="none"`, and without the option a key may connect to everything.
 *
 * @param forwards with the port of each, as a number or as `@forward@`
 */
export function tunnelKeyPermits(forwards: { forward: Forward; port: string }[]): string[] {
  return [
    ...forwards.map(({ forward, port }) => `permitlisten="${hostPort(bindAddress(forward), port)}"`),
    ...forwards.map(({ forward, port }) => `permitopen="${hostPort(probeAddress(forward), port)}"`),
  ];
}

/**
 * The options of a login's key on the internal host: only a terminal and commands, and only through the tunnel, whose
 * connections come from the internal host itself. sshd compares addresses, so that host resolves a name.
 */
export function loginKeyOptions(targetHost: string): string[] {
  const isName = !/^[0-9.]+$|:/.test(targetHost);
  const from = [...new Set(["127.0.0.1", "::1", isName ? "@target@" : targetHost])].join(",");
  return ["restrict", "pty", `from="${from}"`];
}
