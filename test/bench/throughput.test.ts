import { describe, expect, it } from "vitest";
import type { Sample } from "../../bench/throughput/measure.ts";
import { throughputPlot, throughputTables } from "../../bench/throughput/report.ts";
import type { Results } from "../../bench/throughput/results.ts";
import { ratio } from "../../bench/throughput/results.ts";
import { allVariants } from "../../bench/throughput/variants.ts";
import { allTools } from "../../bench/tools/all.ts";

const sample = (megabytesPerSecondDown: number): Sample => ({
  megabytesPerSecondDown,
  megabytesPerSecondUp: 200,
  millisecondsMedian: 0.25,
  milliseconds99: 1.5,
  requestsBy1: 4000,
  requestsBy16: 16000,
  cpuSecondsOnGate: 2.5,
  cpuSecondsOnNas: 3.25,
});

const results: Results = {
  measured: "Measured",
  tools: { direct: [sample(1000), sample(500)], project: [sample(250), sample(250)] },
  variants: { default: [sample(500), sample(500)] },
  memory: { project: [{ gate: 4.26, nas: 5 }] },
};
const [tools, variants] = [allTools.slice(0, 1), allVariants.slice(0, 1)];

describe("the tables of throughput", () => {
  it("compare each round with the direct connection of the same round", () => {
    // 0.25 in a fast round, 0.5 in a slow one: not 250/1000 for both.
    expect(ratio([sample(250), sample(250)], [sample(1000), sample(500)], "megabytesPerSecondDown")).toBe(
      0.5,
    );
  });

  it("list each figure and its ratio, memory, and ssh with other options", () => {
    const lines = throughputTables(results, tools, variants);
    expect(lines).toContain("| direct | 1000 | 200 | 0.250 | 1.50 | 4000 | 16000 | 2.5 | 3.3 |  |  |");
    expect(lines).toContain(
      "| this project | 250 (0.50×) | 200 (1.00×) | 0.250 (1.00×) | 1.50 (1.00×) | 4000 (1.00×) | 16000 (1.00×) | 2.5 | 3.3 | 4.3 | 5.0 |",
    );
    expect(lines.at(-1)).toMatch(/^\| OpenSSH's defaults \| 500 \(1\.00×\) /);
  });
});

describe("the plot of throughput", () => {
  it("labels each ratio with the figure", () => {
    const plot = throughputPlot(results, tools);
    expect(plot).toContain(">0.50× (250)</text>");
    expect(plot).toContain(">1.00× (0.25)</text>");
    expect(plot).toContain(">5.8</text>"); // CPU seconds of both hosts
    expect(plot).toContain(">9.3</text>"); // MB of both hosts
    expect(plot).not.toMatch(/NaN|undefined/);
  });
});
