import { expect } from "vitest";
import type { Host } from "../../../lab/host.ts";
import type { Snapshot } from "../../../lab/snapshot.ts";
import { leftovers } from "./leftovers.ts";

/** Everything on a host that a component might change: what is on its disk, and the state of its running system. */
export interface HostState {
  disk: Snapshot;
  running: Record<string, string>;
}

export async function hostState(host: Host): Promise<HostState> {
  return { disk: await host.snapshot(), running: await runningState(host) };
}

/**
 * Expects that a host is as it was, on its disk and in its running system, except for the answers to these questions.
 */
export async function expectAsBefore(host: Host, before: HostState, except: string[] = []): Promise<void> {
  const changes = async () => {
    const now = await runningState(host);
    return Object.keys(QUESTIONS)
      .filter((question) => !except.includes(question))
      .flatMap((question) =>
        changedLines(before.running[question], now[question]).map((line) => `${question}: ${line}`),
      );
  };
  // What ended a moment ago may still be listed.
  await expect
    .poll(changes, { timeout: 60_000, interval: 200, message: `running on ${host.name}` })
    .toEqual([]);
  expect(await leftovers(host, before.disk), `left on ${host.name}`).toEqual([]);
}

/** The lines that only one of two answers has, each with "-" or "+" before it. */
function changedLines(before = "", after = ""): string[] {
  const [was, is] = [before.split("\n"), after.split("\n")];
  const others = (lines: string[], than: string[]) => {
    const left = [...than];
    return lines.filter((line) => {
      const at = left.indexOf(line);
      if (at >= 0) left.splice(at, 1);
      return at < 0;
    });
  };
  const changes = [
    ...others(was, is).map((line) => `-${line}`),
    ...others(is, was).map((line) => `+${line}`),
  ];
  return changes.length === 0 && before !== after ? ["the order of the lines"] : changes;
}

/** The name of each question, and the command that answers it. */
export const QUESTIONS: Record<string, string> = {
  accounts: "getent passwd; getent group; cat /etc/shadow /etc/gshadow /etc/subuid /etc/subgid",
  // Logins and credentials come and go, and so do names that systemd has heard of without a file. network-online.target
  // is started by the first service that waits for it.
  units: `systemctl list-units --all --plain --no-legend | awk '{ print $1, $2, $3, $4 }' |
    grep -vE '^(session-|user-|user@|run-user-|run-credentials-|user-runtime-dir@|network-online.target|systemd-(networkd|hostnamed|initctl))|not-found inactive' | sort`,
  // systemd may be too busy to answer at once.
  unitFiles:
    "for i in 1 2 3; do systemctl list-unit-files --no-legend && break; sleep 5; done | grep -vE '^session-'",
  timers: "systemctl list-timers --all --no-legend | awk '{ print $(NF - 1), $NF }' | sort",
  listeners: "ss -Hltunp | awk '{ print $1, $5, $7 }' | sort",
  // A login, what it starts, and this command itself are not part of the host. A tunnel's account, "tunnel-x", starts
  // nothing.
  processes: `all=$(ps -eo user:32,pid,args --no-headers)
    printf '%s\\n' "$all" |
    grep -vE ' (ps -eo|/bin/sh -c|sshd: [a-z]|sshd: \\[accepted\\]|/usr/sbin/sshd -D -R)|^[a-z]+ +[0-9]+ (/lib/systemd/systemd --user|\\(sd-pam\\))' |
    sed 's/listener\\] .*/listener]/' | sort`,
  // systemd's own files for units and logins are named after these, which are listed above. /run/private belongs to
  // systemd, too, and ufw.lock to ufw, which keeps it. motd.dynamic is from the first login through PAM. systemd leaves
  // an empty /tmp/namespace-dev-* if a unit is stopped while its PrivateDevices are created.
  volatile: `find /run /tmp /var/tmp /dev/shm -not -path '/run/user*' -not -path '/run/systemd/*/*' |
    grep -vE '^/(var/)?tmp/systemd-private-|^/tmp/namespace-dev-|^/run/(systemd|host)|^/run/(private|ufw.lock|motd.dynamic)$' | sort`,
  // xattrs and ACLs, which the overlay's list does not include.
  attributes: `python3 - <<'END'
import os
for top in "/etc/ssh", "/root", "/home", "/etc/firewalld", "/etc/ufw":
    for folder, folders, files in os.walk(top):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            for attribute in os.listxattr(path, follow_symlinks=False):
                print(path, attribute, os.getxattr(path, attribute, follow_symlinks=False).hex())
END`,
  packetFilter: "nft -s list ruleset 2>/dev/null",
  firewalld:
    "! systemctl is-active --quiet firewalld || { firewall-cmd --list-all-zones; firewall-cmd --permanent --list-all-zones; }",
  selinux: "! command -v selinuxenabled >/dev/null || semanage port -l -n",
  // What sshd has not loaded since it was written or removed.
  sshdUnloaded: `find /etc/ssh/sshd_config /etc/ssh/sshd_config.d -newermt "$(systemctl show --timestamp=us+utc -P StateChangeTimestamp ssh)"`,
  sshd: "sshd -T; sshd -T -C user=tunnel-x,host=127.0.0.1,addr=127.0.0.1",
};

/** The state of a host's running system. */
export async function runningState(host: Host): Promise<Record<string, string>> {
  const script = Object.entries(QUESTIONS).map(([name, command]) => `echo "== ${name}"\n${command}\n`);
  const { stdout } = await host.run(script.join(""), { allowFailure: true });
  return Object.fromEntries(
    `\n${stdout}`
      .split("\n== ")
      .slice(1)
      .map((part): [string, string] => {
        const [name = "", ...lines] = part.split("\n");
        return [name, lines.join("\n")];
      }),
  );
}
