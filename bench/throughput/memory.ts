import type { Host } from "../../lab/host.ts";
import type { Pair } from "../pair.ts";
import type { Tool } from "../tools/tool.ts";

/** Memory in MB that a tool's processes have for themselves, and their share of what they have with others: PSS. */
export interface Memory {
  /** On the public host: its server, or the processes of its SSH session; sshd itself is there anyway. */
  gate: number;
  /** On the internal host: all processes of its unit. */
  nas: number;
}

/** What a tool that runs takes on each side. */
export async function memoryOf(pair: Pair, tool: Tool): Promise<Memory> {
  const session = `$(ss -Hltnp 'sport = :${tool.port}' | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sort -u)`;
  const gate = tool.server
    ? unitProcesses(tool.server)
    : `for pid in ${session}; do echo $pid; sed -n 's/^PPid:[[:space:]]*//p' /proc/$pid/status; done`;
  return {
    gate: await sum(pair.gate, gate),
    nas: await sum(pair.nas, unitProcesses(tool.client.unit(pair))),
  };
}

function unitProcesses(unit: string): string {
  return `cat "/sys/fs/cgroup$(systemctl show -P ControlGroup ${unit})/cgroup.procs"`;
}

async function sum(host: Host, processes: string): Promise<number> {
  const { stdout } = await host.run(
    `for pid in $(${processes}); do cat /proc/$pid/smaps_rollup; done | awk '/^Pss:/ { sum += $2 } END { print sum }'`,
  );
  const kilobytes = Number(stdout);
  if (!(kilobytes > 0)) throw new Error(`no process found on ${host.name} by: ${processes}`);
  return kilobytes / 1000;
}
