import type { Host } from "../../lab/host.ts";
import type { Pair } from "../pair.ts";
import type { Tool } from "../tools/tool.ts";

/** Memory in MB of a tool's processes, with their part of shared memory: PSS. */
export interface Memory {
  /** On the public host: its server, or all processes of the account that logs in; sshd itself runs anyway. */
  gate: number;
  /** On the internal host: all processes of its unit. */
  nas: number;
}

/** The memory of a running tool on each side. */
export async function memoryOf(pair: Pair, tool: Tool): Promise<Memory> {
  return {
    gate: await sum(pair.gate, tool.server ? unitProcesses(tool.server) : sessionProcesses(tool.port)),
    nas: await sum(pair.nas, unitProcesses(tool.client.unit(pair))),
  };
}

/** All processes of the account whose session listens: sshd's, and the manager that systemd starts for it. */
function sessionProcesses(port: number): string {
  return `group=$(ss -Hltnp 'sport = :${port}' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | head -n 1 | xargs -I@ sed -n 's/^0:://p' /proc/@/cgroup)
    case $group in
      /user.slice/*) find "/sys/fs/cgroup\${group%/*}" -name cgroup.procs -exec cat {} + ;;
      *) echo "the session is not in a slice of its user: $group" >&2 ;;
    esac`;
}

function unitProcesses(unit: string): string {
  return `cat "/sys/fs/cgroup$(systemctl show -P ControlGroup ${unit})/cgroup.procs"`;
}

async function sum(host: Host, processes: string): Promise<number> {
  const { stdout } = await host.run(
    `processes=$(${processes})
    for pid in $processes; do cat /proc/$pid/smaps_rollup; done | awk '/^Pss:/ { sum += $2 } END { print sum }'`,
  );
  const kilobytes = Number(stdout);
  if (!(kilobytes > 0)) throw new Error(`no process found on ${host.name} by: ${processes}`);
  return kilobytes / 1000;
}
