import { type Axis, type Chart, drawChart } from "../chart.ts";
import { median, worst } from "../statistics.ts";
import type { Tool } from "../tools/tool.ts";
import type { Fault } from "./faults.ts";
import { cell } from "./report.ts";
import { type Results, secondsOf } from "./results.ts";

const AXIS: Axis = { from: 0.1, to: 100, ticks: [0.1, 1, 10, 100], log: true };

/** The plot for docs/: a panel for each fault, with the median and the worst time of each tool. */
export function recoveryPlot(results: Results, faults: Fault[], tools: Tool[]): string {
  const chart: Chart = {
    title: "Seconds until a connection gets an answer again, median and worst (log scale)",
    legend: ["with a client that tries every 2 s", "with nobody connecting during the fault"],
    columns: 2,
    panels: faults
      .filter(({ id }) => results.trials.some(({ fault }) => fault === id))
      .map((fault) => ({
        title: fault.title,
        axis: AXIS,
        rows: tools.map((tool, index) => ({
          label: tool.title,
          highlighted: index === 0,
          bars: (["retrying", "nobody"] as const).map((client) => {
            const seconds = secondsOf(results, fault.id, client, tool.id);
            if (seconds.length === 0) return undefined;
            return { value: median(seconds), upTo: worst(seconds), text: cell(seconds) };
          }),
        })),
      })),
  };
  return drawChart(chart);
}
