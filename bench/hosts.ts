import { Lab } from "../lab/lab.ts";
import { describeMachine, hasAes, today } from "./machine.ts";
import { Pair } from "./pair.ts";
import type { Installed } from "./tools/all.ts";

/** Boots this many pairs of hosts, installs every tool on them, calls the action, and takes everything down. */
export async function withPairs(
  lab: string,
  pairs: number,
  { tools, programs }: Installed,
  onProgress: (line: string) => void,
  action: (pairs: Pair[]) => Promise<void>,
): Promise<void> {
  const packages = tools.flatMap((tool) => tool.packages ?? []);
  const hasSpare = tools.some(({ usesSpare }) => usesSpare);
  const choices = Pair.hostNames(pairs, hasSpare).map((name) =>
    name.startsWith("gate") ? { name, packages } : name,
  );
  const hosts = await Lab.up({ name: lab, hosts: choices, onProgress });
  try {
    const all = Array.from({ length: pairs }, (_, index) => new Pair(hosts, index + 1, hasSpare));
    for (const pair of all) {
      onProgress(`Installing ${tools.map(({ title }) => title).join(", ")} on pair ${pair.number} …`);
      await pair.prepare();
      for (const tool of tools) await tool.install(pair, programs);
    }
    await action(all);
  } finally {
    await hosts.down();
  }
}

/** The first line above a table: when, on what, with what, and how. */
export async function measuredWith(pairs: Pair[], how: string): Promise<string> {
  const version = (await pairs[0]?.nas.run("ssh -V 2>&1"))?.stdout.split(",")[0];
  const aes = `${hasAes() ? "with" : "without"} AES instructions`;
  return `Measured on ${today()}: ${describeMachine()}, CPU ${aes}; ${version}. ${how}`;
}
