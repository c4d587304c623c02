import type { Host } from "../../lab/host.ts";

/** A root login from the machine that runs the benchmark; in seconds since 1970. */
export interface Login {
  from: number;
  /** Infinity if it has not ended. */
  to: number;
}

/**
 * The logins to a host since then. The tunnels' own are for other accounts, and logins back come from other addresses.
 */
export async function readLogins(host: Host, since: number): Promise<Login[]> {
  const runner = host.address.replace(/[0-9]+$/, "1");
  const { stdout } = await host.run(
    `journalctl --sync
    journalctl -q -o short-unix -t sshd -t sshd-session --since=@${since.toFixed(3)} |
      grep -e 'Accepted .* for root from' -e 'session closed for user root' || :`,
  );
  return loginsIn(stdout, runner);
}

/** The logins from an address in the lines of a journal. */
export function loginsIn(journal: string, runner: string): Login[] {
  const logins: Login[] = [];
  const open = new Map<string, Login>();
  for (const line of journal.split("\n")) {
    const [, time, pid = "", text = ""] = /^([\d.]+) \S+ sshd(?:-session)?\[(\d+)\]: (.*)$/.exec(line) ?? [];
    if (text.includes(`for root from ${runner} `)) {
      const login = { from: Number(time), to: Infinity };
      logins.push(login);
      open.set(pid, login);
    } else if (text.includes("session closed for user root")) {
      const login = open.get(pid);
      if (login) login.to = Number(time);
      open.delete(pid);
    }
  }
  return logins;
}

/** Those that began in a period. */
export function begunIn(logins: Login[], from: number, to: number): Login[] {
  return logins.filter((login) => login.from >= from && login.from <= to);
}

/** The maximum number at the same time. */
export function mostAtOnce(logins: Login[]): number {
  const events = logins.flatMap(({ from, to }) => [
    { at: from, step: 1 },
    { at: to, step: -1 },
  ]);
  let [now, most] = [0, 0];
  for (const { step } of events.toSorted((a, b) => a.at - b.at || a.step - b.step)) {
    now += step;
    most = Math.max(most, now);
  }
  return most;
}
