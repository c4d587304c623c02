import { type Bar, type Panel, drawChart, linearAxis } from "../chart.ts";
import { table } from "../document.ts";
import { median } from "../statistics.ts";
import type { Tool } from "../tools/tool.ts";
import type { Sample } from "./measure.ts";
import { type Results, middle, ratio } from "./results.ts";
import type { Variant } from "./variants.ts";

const FIGURES: { figure: keyof Sample; head: string; digits: number }[] = [
  { figure: "megabytesPerSecondDown", head: "MB/s from the internal host", digits: 0 },
  { figure: "megabytesPerSecondUp", head: "MB/s to it", digits: 0 },
  { figure: "millisecondsMedian", head: "ms a request, p50", digits: 3 },
  { figure: "milliseconds99", head: "p99", digits: 2 },
  { figure: "requestsBy1", head: "requests/s, 1 connection", digits: 0 },
  { figure: "requestsBy16", head: "16 connections", digits: 0 },
  { figure: "cpuSecondsOnGate", head: "CPU s/GB, public host", digits: 1 },
  { figure: "cpuSecondsOnNas", head: "internal host", digits: 1 },
];

/** The lines of both tables: the tools, then plain ssh with other options. */
export function throughputTables(results: Results, tools: Tool[], variants: Variant[]): string[] {
  const direct = results.tools["direct"] ?? [];
  const cells = (samples: Sample[]) => FIGURES.map((figure) => cell(samples, direct, figure));
  const memory = (id: string, side: "gate" | "nas") => {
    const found = results.memory[id]?.map((all) => all[side]) ?? [];
    return found.length === 0 ? "" : median(found).toFixed(1);
  };
  const heads = FIGURES.map(({ head }) => head);
  return [
    ...table(
      ["tool", ...heads, "idle MB on the public host", "on the internal host"],
      [
        ["direct", ...FIGURES.map((figure) => plain(direct, figure)), "", ""],
        ...tools.map(({ id, title }) => [
          title,
          ...cells(results.tools[id] ?? []),
          memory(id, "gate"),
          memory(id, "nas"),
        ]),
      ],
    ),
    "",
    "Plain `ssh -N -R` with other options, in the same run:",
    "",
    ...table(
      ["options", ...heads],
      variants.map(({ id, title }) => [title, ...cells(results.variants[id] ?? [])]),
    ),
  ];
}

/** The plot for docs/: ratios to the direct connection, and the CPU time of both hosts. */
export function throughputPlot(results: Results, tools: Tool[]): string {
  const direct = results.tools["direct"] ?? [];
  const samples = (tool: Tool) => results.tools[tool.id] ?? [];
  const compared = (figure: keyof Sample, digits: number) => (tool: Tool) => {
    const value = ratio(samples(tool), direct, figure);
    return { value, text: `${ofDirect(value)} (${middle(samples(tool), figure).toFixed(digits)})` };
  };
  const cpuSeconds = (tool: Tool) =>
    middle(samples(tool), "cpuSecondsOnGate") + middle(samples(tool), "cpuSecondsOnNas");
  const megabytes = (tool: Tool) =>
    median((results.memory[tool.id] ?? []).map(({ gate, nas }) => gate + nas));
  const absolute = (value: number) => ({ value, text: value.toFixed(1) });
  const panel = (title: string, barOf: (tool: Tool) => Bar): Panel => {
    const bars = tools.map(barOf);
    const rows = tools.map(({ title: label }, index) => ({
      ...{ label, highlighted: index === 0 },
      bars: [bars[index]],
    }));
    return { title, rows, axis: linearAxis(Math.max(...bars.map(({ value }) => value))) };
  };
  return drawChart({
    title: "Each tool as a ratio to a direct connection (and the figure itself), medians",
    columns: 2,
    panels: [
      panel("MB/s from the internal host: more is better", compared("megabytesPerSecondDown", 0)),
      panel("MB/s to the internal host: more is better", compared("megabytesPerSecondUp", 0)),
      panel("ms a small request takes, p50: less is better", compared("millisecondsMedian", 2)),
      panel("requests/s on 16 connections: more is better", compared("requestsBy16", 0)),
      panel("CPU seconds for a GB, both hosts: less is better", (tool) => absolute(cpuSeconds(tool))),
      panel("idle memory in MB, both hosts: less is better", (tool) => absolute(megabytes(tool))),
    ],
  });
}

function cell(samples: Sample[], direct: Sample[], figure: (typeof FIGURES)[number]): string {
  if (samples.length === 0) return "";
  // A direct connection does not use the public host: there is nothing to compare with.
  if (figure.figure.startsWith("cpu")) return plain(samples, figure);
  return `${plain(samples, figure)} (${ofDirect(ratio(samples, direct, figure.figure))})`;
}

function plain(samples: Sample[], { figure, digits }: (typeof FIGURES)[number]): string {
  return middle(samples, figure).toFixed(digits);
}

/** "0.25×" */
function ofDirect(value: number): string {
  return `${value < 10 ? value.toFixed(2) : value.toFixed(0)}×`;
}
