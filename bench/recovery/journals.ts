import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Pair } from "../pair.ts";

/** Writes the journals of both hosts since a minute before the end of a fault into a folder. */
export async function keepJournals(pair: Pair, folder: string, name: string, at: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const since = Date.parse(at) / 1000 - 60;
  for (const host of [pair.gate, pair.nas]) {
    const { stdout } = await host.run(`journalctl -q -o short-unix --since @${since.toFixed(0)}`);
    await writeFile(
      join(folder, `${name}-${host.name}.txt`),
      `# the fault ended at ${Date.parse(at) / 1000}\n${stdout}\n`,
    );
  }
}
