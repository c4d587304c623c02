import { describe, expect, it } from "vitest";
import { median, percentile, worst } from "../../bench/statistics.ts";

describe("a statistic of the benchmarks", () => {
  it("takes the middle value, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  it("takes a measured value, not the mean of two", () => {
    expect(median([1, 2, 10, 20])).toBe(10);
  });

  it("counts a trial that never ended as longer than any other", () => {
    expect(median([1, Infinity, Infinity])).toBe(Infinity);
    expect(median([1, 2, Infinity])).toBe(2);
    expect(worst([1, 2, Infinity])).toBe(Infinity);
  });

  it("takes the value that the given share of all values does not exceed", () => {
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile([7], 0.99)).toBe(7);
  });

  it("is undefined without any value", () => {
    for (const result of [median([]), percentile([], 0.5), worst([])]) expect(result).toBeNaN();
  });
});
