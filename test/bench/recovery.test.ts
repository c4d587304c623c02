import { createServer } from "node:net";
import { describe, expect, it, vi } from "vitest";
import { Agenda } from "../../bench/recovery/agenda.ts";
import { type Fault, allFaults } from "../../bench/recovery/faults.ts";
import { recoveryPlot } from "../../bench/recovery/plot.ts";
import { keepTrying, secondsToAnswer } from "../../bench/recovery/probe.ts";
import { cell, recoveryTable, trialsInWords } from "../../bench/recovery/report.ts";
import { type Results, merge } from "../../bench/recovery/results.ts";
import type { Trial } from "../../bench/recovery/trial.ts";
import { allTools } from "../../bench/tools/all.ts";
import { until } from "../../lab/exec.ts";

const trial = (fault: string, client: Trial["client"], number: number, seconds: Trial["seconds"]): Trial => ({
  ...{ fault, client, number, seconds, limitSeconds: 60, idleCpu: 0.5, at: "2026-01-01T00:00:00Z" },
});

const results: Results = {
  measured: "Measured",
  trials: [
    trial("cut30", "retrying", 1, { project: 0.5, guide: 12 }),
    trial("cut30", "retrying", 2, { project: 0.7, guide: null }),
    trial("cut30", "retrying", 3, { project: 2.25, guide: null }),
    trial("reboot", "nobody", 1, { project: 1, guide: 11.6 }),
  ],
};
const tools = allTools.slice(0, 2);

describe("the table of recoveries", () => {
  it("has the median and the worst time of each tool, and only the rows that were tried", () => {
    expect(recoveryTable(results, allFaults, tools)).toEqual([
      "| fault | client | this project | ssh + systemd |",
      "| --- | --- | --- | --- |",
      "| link silent for 30 s | retrying | 0.7 (2.3) | never |",
      "| public host reboots | nobody | 1.0 (1.0) | 12 (12) |",
    ]);
  });

  it("says never if most trials, or the worst of them, did not recover", () => {
    expect(cell([1, Infinity, Infinity])).toBe("never");
    expect(cell([1, 2, Infinity])).toBe("2.0 (never)");
    expect(cell([])).toBe("");
  });

  it("gives the number of trials", () => {
    expect(trialsInWords(results)).toContain("1 to 3 trials of each");
    expect(trialsInWords({ ...results, trials: results.trials.slice(0, 1) })).toContain("1 trial of each");
  });

  it("keeps earlier results for what this run did not try", () => {
    const fresh = { measured: "Today", trials: [trial("cut30", "retrying", 1, { guide: 3 })] };
    const merged = merge(results, fresh);
    expect(merged.measured).toBe("Today");
    expect(recoveryTable(merged, allFaults, tools)[2]).toBe(
      "| link silent for 30 s | retrying | 0.7 (2.3) | 3.0 (3.0) |",
    );
    expect(recoveryTable(merged, allFaults, tools)[3]).toBe(
      "| public host reboots | nobody | 1.0 (1.0) | 12 (12) |",
    );
  });
});

describe("the plot of recoveries", () => {
  const plot = recoveryPlot(results, allFaults, tools);

  it("has a panel for each fault that was tried", () => {
    const titles = allFaults.map(({ title }) => title).filter((title) => plot.includes(`>${title}<`));
    expect(titles).toEqual(["link silent for 30 s", "public host reboots"]);
  });

  it("shows never as a hatched bar with that label", () => {
    expect(plot.match(/url\(#never\)/g)).toHaveLength(1);
    expect(plot).toContain(">never</text>");
  });
});

describe("the agenda of the trials", () => {
  it("delays only the trials that need the same seconds", () => {
    const agenda = new Agenda();
    expect(agenda.reserve(0, 30, 5)).toBe(0); // 30 to 35
    expect(agenda.reserve(0, 0, 9)).toBe(0); // 0 to 9
    expect(agenda.reserve(1, 30, 5)).toBe(5); // 35 to 40
    expect(agenda.reserve(28, 0, 9)).toBe(40);
  });

  it("uses a gap between two others only if it is long enough", () => {
    const agenda = new Agenda();
    agenda.reserve(0, 0, 10);
    agenda.reserve(0, 15, 10); // 15 to 25
    expect(agenda.reserve(0, 0, 5)).toBe(10);
    expect(agenda.reserve(0, 0, 5)).toBe(25);
  });
});

describe("the probe", () => {
  const serve = async (answer: boolean) => {
    let connections = 0;
    const server = createServer((socket) => {
      connections++;
      socket.on("error", () => undefined);
      if (answer) socket.on("data", () => socket.write("pong\n"));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as { port: number };
    return { server, target: { host: "127.0.0.1", port }, connections: () => connections };
  };

  it("finds the moment of the first answer at a port that refused before", async () => {
    const { server, target } = await serve(true);
    await new Promise((resolve) => server.close(resolve));
    const found = secondsToAnswer([target], 10);
    const started = performance.now();
    await until("some refusals", 5, () => performance.now() - started > 300);
    server.listen(target.port, "127.0.0.1");
    const opened = (performance.now() - started) / 1000;
    const seconds = await found;
    server.close();
    expect(seconds).toBeGreaterThan(opened);
    expect(seconds).toBeLessThan(opened + 0.5);
  });

  it("takes the first answer if it may come from several ports, also while one hangs", async () => {
    const [hanging, good] = [await serve(false), await serve(true)];
    expect(await secondsToAnswer([hanging.target, good.target], 10)).toBeLessThan(10);
    hanging.server.close();
    good.server.close();
  });

  it("gives up at the limit if a port accepts and never answers", async () => {
    const { server, target, connections } = await serve(false);
    expect(await secondsToAnswer([target], 1)).toBeUndefined();
    expect(connections()).toBeGreaterThanOrEqual(3);
    expect(connections()).toBeLessThanOrEqual(5);
    server.close();
  });

  it("leaves no timer behind from a client that kept trying", () => {
    vi.useFakeTimers();
    const client = keepTrying([{ host: "127.0.0.1", port: 1 }]);
    expect(vi.getTimerCount()).toBe(2);
    client.stop();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
});

describe("the faults", () => {
  it("have unique names", () => {
    const ids = allFaults.map(({ id }: Fault) => id);
    expect(new Set(ids).size).toBe(8);
    expect(new Set(allFaults.map(({ title }) => title)).size).toBe(8);
  });
});
