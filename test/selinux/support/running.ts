import type { Host } from "../../../lab/host.ts";
import { runningState } from "../../lab/support/hostState.ts";

/** What the running system of a host knows, but for what is another after each boot: ids of processes, threads of the kernel. */
export async function runningInAnyBoot(host: Host): Promise<Record<string, string>> {
  const { listeners = "", processes = "", ...others } = await runningState(host);
  return {
    ...others,
    listeners: listeners.replaceAll(/pid=\d+,/g, ""),
    processes: processes
      .split("\n")
      .map((line) => line.replace(/^(\S+) +\d+ /, "$1 "))
      .filter((line) => !/^root \[/.test(line))
      .sort()
      .join("\n"),
  };
}
