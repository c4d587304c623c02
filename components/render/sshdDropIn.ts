import { assertValid, oneLine, oneWord } from "./checks.ts";

/** What the drop-in of a public host says. */
export interface SshdDropIn {
  /** Only these accounts, and the tunnels' own, may log in; absent: as the host has it. `AllowUsers` of sshd_config(5). */
  allowUsers?: string[];
  /** Seconds without a word from a client before sshd asks whether it is there. `ClientAliveInterval`. */
  clientAliveIntervalSec: number;
  /** Unanswered questions before sshd ends the session. `ClientAliveCountMax`. */
  clientAliveCountMax: number;
}

/** The group of the tunnel accounts. */
export const tunnelGroup = "ssh-tunnel";

/** Pattern of the tunnel accounts' names: the drop-in does not change when a tunnel is added. */
export const tunnelAccounts = "tunnel-*";

/** Where root keeps the keys of tunnel accounts, which they cannot change themselves; `%u` is the account. */
export const tunnelKeysFile = "/etc/ssh/ssh-reverse-tunnel/%u.keys";

/**
 * The text of the sshd drop-in, `/etc/ssh/sshd_config.d/00-<project>-<stack>.conf`.
 *
 * What each tunnel may listen on and open is in the options of its key (`permitlisten`, `permitopen`), in a file that
 * only root writes: sshd then need not be touched when a tunnel is added or removed. And what one stack says here of tunnel
 * accounts, sshd takes for those of all stacks: they all say the same.
 *
 * Its Match is about their names, since sshd -T then tells before there is one what an account would get.
 */
export function renderSshdDropIn(args: SshdDropIn): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    ...(args.allowUsers ? [`AllowUsers ${words([...args.allowUsers, tunnelAccounts])}`] : []),
    `Match User ${tunnelAccounts}`,
    `    AuthorizedKeysFile ${tunnelKeysFile}`,
    // Whatever the host says of these for everyone else: its keys come from there alone, and they forward.
    "    AuthorizedKeysCommand none",
    "    TrustedUserCAKeys none",
    "    PubkeyAuthentication yes",
    "    AuthenticationMethods publickey",
    "    ForceCommand none",
    "    DisableForwarding no",
    "    AllowTcpForwarding yes",
    "    AllowStreamLocalForwarding no",
    "    GatewayPorts clientspecified",
    "    PermitListen any",
    "    PermitOpen any",
    "    AllowAgentForwarding no",
    "    X11Forwarding no",
    "    PermitTTY no",
    "    PermitTunnel no",
    "    PermitUserRC no",
    `    ClientAliveInterval ${assertValid("number", args.clientAliveIntervalSec)}`,
    `    ClientAliveCountMax ${assertValid("number", args.clientAliveCountMax)}`,
    "    UnusedConnectionTimeout none",
  ]
    .map(oneLine)
    .join("\n");
}

function words(all: string[]): string {
  return all.map(oneWord).join(" ");
}
