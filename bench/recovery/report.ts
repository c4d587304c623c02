import { table } from "../document.ts";
import { median, worst } from "../statistics.ts";
import type { Tool } from "../tools/tool.ts";
import type { Fault } from "./faults.ts";
import { type Results, secondsOf } from "./results.ts";

const CLIENTS = ["retrying", "nobody"] as const;

/** The lines of the table: for each fault, with and without a client, each tool's median and worst. */
export function recoveryTable(results: Results, faults: Fault[], tools: Tool[]): string[] {
  const rows = faults.flatMap((fault) =>
    CLIENTS.flatMap((client) => {
      const cells = tools.map((tool) => cell(secondsOf(results, fault.id, client, tool.id)));
      return cells.some(Boolean) ? [[fault.title, client, ...cells]] : [];
    }),
  );
  return table(["fault", "client", ...tools.map(({ title }) => title)], rows);
}

/** "1.2 (3.4)": the median and the worst; "never" if no answer came. "" if nothing was measured. */
export function cell(seconds: number[]): string {
  if (seconds.length === 0) return "";
  const [middle, most] = [inWords(median(seconds)), inWords(worst(seconds))];
  return middle === "never" ? middle : `${middle} (${most})`;
}

/** Seconds in the format of the table. */
function inWords(seconds: number): string {
  if (seconds === Infinity) return "never";
  return seconds < 10 ? seconds.toFixed(1) : seconds.toFixed(0);
}

/** The number of trials in each cell. */
export function trialsInWords({ trials }: Results): string {
  const cells = new Map<string, number>();
  for (const { fault, client, seconds } of trials) {
    for (const tool of Object.keys(seconds)) {
      const key = `${fault} ${client} ${tool}`;
      cells.set(key, (cells.get(key) ?? 0) + 1);
    }
  }
  const [least, most] = [Math.min(...cells.values()), Math.max(...cells.values())];
  const number = least === most ? `${least}` : `${least} to ${most}`;
  return `${number} trial${most === 1 ? "" : "s"} of each, median (worst), in seconds.`;
}
