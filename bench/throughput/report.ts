import { type Chart, drawChart } from "../chart.ts";
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

/** The plot of docs/: each figure as a ratio to the direct connection. */
export function throughputPlot(results: Results, tools: Tool[]): string {
  const direct = results.tools["direct"] ?? [];
  const panel = (figure: keyof Sample, title: string, digits: number) => {
    const rows = tools.map((tool, index) => {
      const value = ratio(results.tools[tool.id] ?? [], direct, figure);
      const text = `${ofDirect(value)} (${middle(results.tools[tool.id] ?? [], figure).toFixed(digits)})`;
      return { label: tool.title, highlighted: index === 0, bars: [{ value, text }] };
    });
    const most = Math.max(...rows.map(({ bars }) => bars[0]?.value ?? 0));
    const step = most > 4 ? 2 : most > 2 ? 1 : most > 1 ? 0.5 : 0.25;
    const to = Math.ceil(most / step) * step;
    const ticks = Array.from({ length: Math.round(to / step) + 1 }, (_, index) => index * step);
    return { title, rows, axis: { from: 0, to, ticks } };
  };
  const chart: Chart = {
    title: "As a ratio to a direct connection in the same run (and the figure itself), medians",
    columns: 2,
    panels: [
      panel("megabytesPerSecondDown", "MB/s from the internal host: more is better", 0),
      panel("megabytesPerSecondUp", "MB/s to the internal host: more is better", 0),
      panel("millisecondsMedian", "ms a small request takes, p50: less is better", 2),
      panel("requestsBy16", "requests/s on 16 connections: more is better", 0),
    ],
  };
  return drawChart(chart);
}

function cell(samples: Sample[], direct: Sample[], figure: (typeof FIGURES)[number]): string {
  if (samples.length === 0) return "";
  // A direct connection does not touch the public host: there is nothing to compare with.
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
