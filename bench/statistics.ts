/**
 * The middle value; for an even number of values, the upper of the two in the middle, so it is always a measured value.
 */
export function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

/** The value that this share of all values does not exceed. */
export function percentile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil(share * values.length) - 1)] ?? NaN;
}

/** The largest value. */
export function worst(values: number[]): number {
  return values.length === 0 ? NaN : Math.max(...values);
}
