import { describe, expect, it } from "vitest";
import { median, percentile, worst } from "../../bench/statistics.ts";

describe("the statistics of the benchmarks", () => {
  it("take the middle value, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it("take a value that was measured, not a mean of two", () => {
    expect(median([1, 2, 10, 20])).toBe(10);
  });

  it("count a trial that never ended as longer than any other", () => {
    expect(median([1, Infinity, Infinity])).toBe(Infinity);
    expect(median([1, 2, Infinity])).toBe(2);
    expect(worst([1, 2, Infinity])).toBe(Infinity);
  });

  it("take the value that so many of all do not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile([7], 0.99)).toBe(7);
  });

  it("have no answer without any value", () => {
    for (const result of [median([]), percentile([], 0.5), worst([])]) expect(result).toBeNaN();
  });
});
