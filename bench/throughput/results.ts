import { median } from "../statistics.ts";
import type { Sample } from "./measure.ts";
import type { Memory } from "./memory.ts";

/** All data for the tables and the plot. */
export interface Results {
  /** The first line above the tables: day, machine, versions. */
  measured: string;
  /** By tool or variant, or "direct": one sample per round. */
  tools: Record<string, Sample[]>;
  variants: Record<string, Sample[]>;
  /** By tool. */
  memory: Record<string, Memory[]>;
}

/** The median of one figure over all rounds. */
export function middle(samples: Sample[], figure: keyof Sample): number {
  return median(samples.map((sample) => sample[figure]));
}

/** A figure compared with the direct connection: the median of the ratios, each within one round. */
export function ratio(samples: Sample[], direct: Sample[], figure: keyof Sample): number {
  return median(samples.map((sample, round) => sample[figure] / (direct[round]?.[figure] ?? NaN)));
}
