import { describe, expect, test } from "vitest";
import { summaryOf } from "../../components/remote/runReport.ts";

const outcome = {
  all: ["gate", "nas", "shop", "till"],
  changed: new Set<string>(),
  failures: new Map<string, string>(),
  unfinished: new Set<string>(),
  skipped: [],
};

describe("the summary of a run", () => {
  test("is one line if nothing has failed", () => {
    expect(summaryOf({ ...outcome, changed: new Set(["nas"]) })).toBe(
      "4 hosts: 3 up to date, 1 changed, 0 failed",
    );
  });

  test("has the sentence of each host that has failed, and the hosts that wait for one", () => {
    expect(
      summaryOf({
        ...outcome,
        changed: new Set(["gate", "shop"]),
        failures: new Map([["shop", "shop (198.18.0.4) cannot be reached on port 22; check that it is on"]]),
        unfinished: new Set(["shop", "till"]),
        skipped: ["lab"],
      }),
    ).toBe(
      [
        "5 hosts: 1 up to date, 1 changed, 1 failed, 1 not finished, 1 skipped",
        "  failed: shop (198.18.0.4) cannot be reached on port 22; check that it is on",
        "  not finished, since something else has failed: till",
      ].join("\n"),
    );
  });
});
