/**
 * `make bench-throughput`: the throughput of each tool, compared with a direct connection. Prints tables; with --write
 * it also stores them, their numbers and their plot in docs/.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { documentPath, keep, markdown, writeNumbers } from "../document.ts";
import { measuredWith, withPairs } from "../hosts.ts";
import { chosen, count } from "../options.ts";
import { ANSWER_PORT, type Pair } from "../pair.ts";
import { allTools as everyTool, buildTools } from "../tools/all.ts";
import type { Tool } from "../tools/tool.ts";
import { cpuTimesOf } from "./cpu.ts";
import { type Sample, measure } from "./measure.ts";
import { memoryOf } from "./memory.ts";
import { throughputPlot, throughputTables } from "./report.ts";
import type { Results } from "./results.ts";
import { VARIANT_PORT, type Variant, allVariants, startVariant, stopVariant } from "./variants.ts";

// A second public host makes no difference to one connection.
const allTools = everyTool.filter(({ usesSpare }) => !usesSpare);

const USAGE = `npx tsx bench/throughput/main.ts [options]
  --tools A,B     only these: ${allTools.map(({ id }) => id).join(",")}
  --variants A,B  only these, of plain ssh: ${allVariants.map(({ id }) => id).join(",")}
  --rounds N      of all of them, interleaved (5)
  --megabytes N   to transfer in each direction (300)
  --seconds N     of small requests, on 1 and on 16 connections (2)
  --lab NAME      name of the lab (bench-throughput)
  --write         keep the tables, the numbers and the plot in docs/, in place of all that was there
  --draw          measure nothing: make the tables and the plot from the numbers in docs/`;

const progress = (line: string) => console.error(line);
const NUMBERS = documentPath("bench-throughput.json");

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tools: { type: "string" },
      variants: { type: "string" },
      rounds: { type: "string", default: "5" },
      megabytes: { type: "string", default: "300" },
      seconds: { type: "string", default: "2" },
      lab: { type: "string", default: "bench-throughput" },
      write: { type: "boolean", default: false },
      draw: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  if (values.draw) return report(JSON.parse(readFileSync(NUMBERS, "utf8")) as Results, true);

  const variants = chosen("--variants", values.variants, allVariants);
  const installed = await buildTools(chosen("--tools", values.tools, allTools), progress);
  const rounds = count("--rounds", values.rounds);
  const sizes = {
    megabytes: count("--megabytes", values.megabytes),
    seconds: count("--seconds", values.seconds),
  };
  const results: Results = { measured: "", tools: {}, variants: {}, memory: {} };
  await withPairs(values.lab, 1, installed, progress, async ([pair]) => {
    if (!pair) return;
    results.measured = await measuredWith([pair], `${rounds} rounds, medians`);
    for (let round = 1; round <= rounds; round++) {
      await runRound(pair, installed.tools, variants, sizes, results, (name, sample) =>
        progress(`round ${round} of ${rounds}: ${name}: ${inWords(sample)}`),
      );
    }
  });
  if (values.write) await writeNumbers(NUMBERS, results);
  await report(results, values.write);
}

async function runRound(
  pair: Pair,
  tools: Tool[],
  variants: Variant[],
  { megabytes, seconds }: { megabytes: number; seconds: number },
  results: Results,
  onSample: (name: string, sample: Sample) => void,
): Promise<void> {
  const { gate, nas } = pair;
  const take = async (list: Record<string, Sample[]>, id: string, host: string, port: number) => {
    const sample = await measure({ host, port }, megabytes, seconds, cpuTimesOf(pair));
    (list[id] ??= []).push(sample);
    onSample(id, sample);
  };
  await nas.run(`systemctl stop ${tools.map((tool) => tool.client.unit(pair)).join(" ")}`);
  await take(results.tools, "direct", nas.address, ANSWER_PORT);
  for (const tool of tools) {
    if (tool.server) await gate.run(`systemctl restart ${tool.server}`);
    await nas.run(`systemctl start ${tool.client.unit(pair)}`);
    await pair.answers(tool.port, 30);
    (results.memory[tool.id] ??= []).push(await memoryOf(pair, tool));
    await take(results.tools, tool.id, gate.address, tool.port);
    await nas.run(`systemctl stop ${tool.client.unit(pair)}`);
    if (tool.server) await gate.run(`systemctl stop ${tool.server}`);
  }
  for (const variant of variants) {
    await startVariant(pair, variant);
    await take(results.variants, variant.id, gate.address, VARIANT_PORT);
    await stopVariant(pair);
  }
}

function inWords(sample: Sample): string {
  return Object.entries(sample)
    .map(([figure, value]) => `${figure} ${(value as number).toFixed(2)}`)
    .join(", ");
}

async function report(results: Results, write: boolean): Promise<void> {
  const tools = allTools.filter(({ id }) => results.tools[id]);
  const variants = allVariants.filter(({ id }) => results.variants[id]);
  const text = await markdown([`${results.measured}.`, "", ...throughputTables(results, tools, variants)]);
  console.log(text);
  if (!write) return;
  keep("make bench-throughput", text);
  writeFileSync(documentPath("bench-throughput.svg"), throughputPlot(results, tools));
}

main().catch((error: unknown) => {
  console.error(`bench-throughput: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
});
