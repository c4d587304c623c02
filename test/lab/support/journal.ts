import type { Host } from "../../../lab/host.ts";

/**
 * The messages in a host's journal, selected by arguments of journalctl ("-u ssh"). Includes everything that was
 * written before the call: without the first command, a busy journald may not have read all of it yet.
 */
export async function journal(host: Host, which = ""): Promise<string> {
  return (await host.run(`journalctl --sync && journalctl -q -o cat ${which}`)).stdout;
}
