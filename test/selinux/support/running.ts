import type { Host } from "../../../lab/host.ts";
import { runningState } from "../../lab/support/hostState.ts";

/**
 * What the running system of a host knows, but for what is another after each boot: ids of processes, threads of the
 * kernel, what udev calls the devices. Nor does it count what waits, for ten minutes, for the end of a connection that a
 * script came over: those of the lab stay.
 */
export async function runningInAnyBoot(host: Host): Promise<Record<string, string>> {
  const { listeners = "", processes = "", volatile = "", ...others } = await runningState(host);
  return {
    ...others,
    volatile: volatile.replaceAll(/^\/run\/udev\/.*\n/gm, ""),
    listeners: listeners.replaceAll(/pid=\d+,/g, ""),
    processes: processes
      .split("\n")
      .map((line) => line.replace(/^(\S+) +\d+ /, "$1 "))
      .filter((line) => !/^root (\[|\(udev-worker\)|sh -c\s+exec 9<&-|sleep 5$)/.test(line))
      .sort()
      .join("\n"),
  };
}
