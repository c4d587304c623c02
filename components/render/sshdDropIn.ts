import { assertValid, oneLine, oneWord } from "./checks.ts";

/** The values of a public host's drop-in. */
export interface SshdDropIn {
  /** Whose it is, `<project>-<stack>`. */
  owner: string;
  /**
   * Only these accounts, and the tunnels' own, may log in; absent: the host's setting. `AllowUsers` of sshd_config(5).
   */
  allowUsers?: string[];
  /** Seconds without data from a client before sshd sends a keep-alive. `ClientAliveInterval`. */
  clientAliveIntervalSec: number;
  /** Unanswered keep-alives before sshd ends the session. `ClientAliveCountMax`. */
  clientAliveCountMax: number;
}

/** The group of the tunnel accounts. */
export const tunnelGroup = "ssh-tunnel";

/** Pattern of the tunnel accounts' names, so that the drop-in does not change when a tunnel is added. */
export const tunnelAccounts = "tunnel-*";

/** Where root keeps the keys of tunnel accounts, which the accounts cannot change; `%u` is the account. */
export const tunnelKeysFile = "/etc/ssh/ssh-reverse-tunnel/%u.keys";

/**
 * The text of the sshd drop-in, `/etc/ssh/sshd_config.d/00-<project>-<stack>.conf`.
 *
 * What each tunnel may listen on and connect to is in the options of its key (`permitlisten`, `permitopen`), in a file
 * that only root can write, so sshd does not change when a tunnel is added or removed. sshd applies the settings of one
 * stack to the tunnel accounts of all stacks, so all stacks have the same settings here.
 *
 * Its Match uses their names, so that sshd -T can report the settings of an account before the account exists.
 */
export function renderSshdDropIn(args: SshdDropIn): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    ...(args.allowUsers ? [`AllowUsers ${words([...args.allowUsers, tunnelAccounts])}`] : []),
    `Match User ${tunnelAccounts}`,
    // In place of the host's own AllowUsers, which still hold for everyone else. The second is no account: if sshd -T
    // shows it, sshd reads this very file.
    `    AllowUsers ${words([tunnelAccounts, `:${args.owner}`])}`,
    `    AuthorizedKeysFile ${tunnelKeysFile}`,
    // Whatever the host sets for everyone else, its keys come only from there, and it can forward.
    "    AuthorizedKeysCommand none",
    "    TrustedUserCAKeys none",
    "    PubkeyAuthentication yes",
    "    AuthenticationMethods publickey",
    "    ForceCommand none",
    "    ChrootDirectory none",
    "    MaxSessions 10", // it may be 0; one of them ends the earlier session
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
    // Connections through a tunnel may be idle. In a Match, "none" would end each login: sshd takes it for an interval.
    "    ChannelTimeout global=0 *=0",
    "    UnusedConnectionTimeout none",
  ]
    .map(oneLine)
    .join("\n");
}

function words(all: string[]): string {
  return all.map(oneWord).join(" ");
}
