import type { Host } from "../../../../lab/host.ts";
import { QUESTIONS } from "../hostState.ts";

/** The state of a host by category: lines in order. */
export type Census = Record<string, string[]>;

/**
 * What must be exactly the same at every quiet point: the ssh clients, sshd's sessions, their sockets and listeners.
 */
const EXACT = ["clients", "sessions", "connections", "listeners"];

/** What may not exceed the first count. */
const NO_MORE = ["processes", "logins", "failed units", "volatile"];

/**
 * How a host reports it. The querying shell and its children do not count, nor does what systemd starts for a while
 * when somebody logs in.
 */
const COMMANDS: Record<string, string> = {
  clients: "ps -o user:32=,args= -C ssh",
  sessions: "ps -eo user:32=,args= | grep -E '^[^ ]+ +sshd(-session)?: tunnel-'",
  connections:
    "ss -Htn state established '( sport = :22 or dport = :22 )' | awk '{ print $3 ~ /:22$/ ? $3 : $4 }'",
  listeners: "ss -Hltn | awk '{ print $4 }'",
  processes: `ps -eo pid=,ppid=,user:32=,args= |
    awk -v me=$$ '$1 != me && $2 != me { $1 = $2 = ""; print }' | sed 's/listener\\] .*/listener]/' |
    grep -vE 'systemd-(hostnamed|timedated|localed)$'`,
  logins: "loginctl list-sessions --no-legend | awk '{ print $3 }'",
  "failed units": "systemctl list-units --failed --plain --no-legend | awk '{ print $1 }'",
  volatile: QUESTIONS.volatile!,
  descriptors: `for process in $(pgrep -x 'ssh|sshd|sshd-session'); do
      echo "$(ls /proc/$process/fd 2>/dev/null | wc -l) $(ps -o user:32=,args= -p $process | sed 's/listener\\] .*/listener]/')"
    done`,
};

export async function census(host: Host): Promise<Census> {
  const script = Object.entries(COMMANDS).map(([name, command]) => `echo "== ${name}"\n${command}\n`);
  const { stdout } = await host.run(script.join(""), { allowFailure: true });
  const parts = `\n${stdout}`.split("\n== ").slice(1);
  return Object.fromEntries(
    parts.map((part): [string, string[]] => {
      const [name = "", ...lines] = part.split("\n");
      return [
        name,
        lines
          .map((line) => line.trim().replace(/ +/g, " "))
          .filter(Boolean)
          .sort(),
      ];
    }),
  );
}

/**
 * Whether that is one ssh client with its connection or, on a public host, one session of sshd for each tunnel, which
 * is two processes, with its connection.
 */
export function isWhole(now: Census, tunnels: number): boolean {
  const counts = ["clients", "sessions", "connections"].map((what) => now[what]?.length);
  return counts.join() === (tunnels > 0 ? [0, 2 * tunnels, tunnels] : [1, 0, 1]).join();
}

/** What is different from, or more than, the first state of a host's tunnels, in sentences. */
export function leaks(first: Census, now: Census): string[] {
  const more = (what: string) =>
    without(now[what], first[what]).map((line) => `${what}: ${line} is too many`);
  const less = (what: string) => without(first[what], now[what]).map((line) => `${what}: ${line} is missing`);
  return [
    ...EXACT.flatMap((what) => [...more(what), ...less(what)]),
    ...NO_MORE.flatMap(more),
    ...moreDescriptors(first["descriptors"] ?? [], now["descriptors"] ?? []),
  ];
}

/** Lines without others, each as often as it occurs. */
function without(lines: string[] = [], others: string[] = []): string[] {
  const left = [...others];
  return lines.filter((line) => {
    const index = left.indexOf(line);
    if (index >= 0) left.splice(index, 1);
    return index < 0;
  });
}

/** The processes that have more open files than any of the same kind had at first. */
function moreDescriptors(first: string[], now: string[]): string[] {
  const allowed = new Map<string, number>();
  const read = (line: string): [string, number] => [line.replace(/^\d+ /, ""), parseInt(line, 10)];
  for (const [process, count] of first.map(read)) {
    allowed.set(process, Math.max(count, allowed.get(process) ?? 0));
  }
  return now.map(read).flatMap(([process, count]) => {
    const bound = allowed.get(process);
    return bound !== undefined && count > bound
      ? [`${process} has ${count} open files instead of ${bound}`]
      : [];
  });
}
