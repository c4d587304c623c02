import { describe, expect, it } from "vitest";
import { type Axis, type Chart, along, drawChart } from "../../bench/chart.ts";

const log: Axis = { from: 0.1, to: 100, ticks: [0.1, 1, 10, 100], log: true };

const chart = (...values: number[]): Chart => ({
  title: "Seconds <of> each & all",
  legend: ["one", "other"],
  columns: 2,
  panels: [
    {
      title: "a panel",
      axis: log,
      rows: values.map((value, index) => ({
        label: `tool ${index}`,
        highlighted: index === 0,
        bars: [{ value, text: `${value} s` }],
      })),
    },
  ],
});

/** The widths of the bars, without the legend's. */
const widths = (svg: string) =>
  [...svg.matchAll(/<rect class="(?:own|other) first" x="120" .*? width="([\d.]+)"/g)].map(([, width]) =>
    Number(width),
  );

describe("a chart", () => {
  it("gives every power of ten the same length on a log scale", () => {
    expect(along(log, 1)).toBeCloseTo(1 / 3);
    expect(along(log, 10)).toBeCloseTo(2 / 3);
  });

  it("stays within its axis", () => {
    expect(along(log, 0.01)).toBe(0);
    expect(along(log, 1000)).toBe(1);
    expect(along({ from: 0, to: 2, ticks: [] }, 3)).toBe(1);
  });

  it("draws longer bars for larger values, and shows even the smallest", () => {
    const [smallest = 0, middle = 0, largest = 0] = widths(drawChart(chart(0.001, 1, 50)));
    expect(smallest).toBeGreaterThan(0);
    expect(middle).toBeGreaterThan(smallest);
    expect(largest).toBeGreaterThan(middle);
  });

  it("is well-formed: tags are closed in order, and text is escaped", () => {
    const svg = drawChart(chart(1, Infinity));
    const open: string[] = [];
    for (const [, close, name, self] of svg.matchAll(/<(\/?)([a-zA-Z]+)[^>]*?(\/?)>/g)) {
      if (close) expect(open.pop()).toBe(name);
      else if (!self && name) open.push(name);
    }
    expect(open).toEqual([]);
    expect(svg).toContain(">Seconds &lt;of&gt; each &amp; all</title>");
    expect(svg).not.toMatch(/NaN|undefined/);
  });

  it("has colours for dark pages and no background of its own", () => {
    const svg = drawChart(chart(1));
    expect(svg).toContain("@media (prefers-color-scheme: dark)");
    expect(svg).not.toMatch(/background|<rect(?![^>]*(class|pattern|never))/);
  });
});
