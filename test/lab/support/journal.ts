import type { Host } from "../../../lab/host.ts";

/**
 * What a host's journal says, the messages alone, chosen by arguments of journalctl ("-u ssh"). All that was written
 * before the call is in it: without the first command, a busy journald may have some of it to read yet.
 */
export async function journal(host: Host, which = ""): Promise<string> {
  return (await host.run(`journalctl --sync && journalctl -q -o cat ${which}`)).stdout;
}
