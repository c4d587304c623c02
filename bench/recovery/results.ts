import { existsSync, readFileSync } from "node:fs";
import type { Trial } from "./trial.ts";

/** All data for a table and a plot. */
export interface Results {
  /** The first line above the table: day, machine, versions. */
  measured: string;
  trials: Trial[];
}

/** The results in a file; none if it does not exist. */
export function readResults(path: string): Results {
  return existsSync(path)
    ? (JSON.parse(readFileSync(path, "utf8")) as Results)
    : { measured: "", trials: [] };
}

/** Old results, in which a new run replaces the trials of each fault and tool that it tried. */
export function merge(old: Results, fresh: Results): Results {
  const key = (trial: Trial, tool: string) => `${trial.fault} ${trial.client} ${tool}`;
  const tried = new Set(
    fresh.trials.flatMap((trial) => Object.keys(trial.seconds).map((tool) => key(trial, tool))),
  );
  const kept = old.trials.flatMap((trial) => {
    const seconds = Object.fromEntries(
      Object.entries(trial.seconds).filter(([tool]) => !tried.has(key(trial, tool))),
    );
    return Object.keys(seconds).length > 0 ? [{ ...trial, seconds }] : [];
  });
  return { measured: fresh.measured, trials: [...kept, ...fresh.trials] };
}

/** Seconds of every trial in one cell of the table; Infinity if no answer came. */
export function secondsOf(results: Results, fault: string, client: string, tool: string): number[] {
  return results.trials
    .filter((trial) => trial.fault === fault && trial.client === client)
    .flatMap(({ seconds }) => (seconds[tool] === undefined ? [] : [seconds[tool] ?? Infinity]));
}
