import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { relative } from "node:path";
import { describe, expect, test } from "vitest";
import { FILE, secondsOf, slicesOf } from "../tools/slices.ts";

// Which test files run when: those of the projects unit and lab in each `make test`, of matrix a slice for each commit.

const files = (folder = "test") =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((file) => `${folder}/${file}`)
    .filter((file) => file.endsWith(".test.ts"))
    .sort();

describe("each test file", () => {
  test("is in exactly one project of vitest", { timeout: 120_000 }, () => {
    const list = ["node_modules/vitest/vitest.mjs", "list", "--filesOnly", "--json"];
    const listed = JSON.parse(execFileSync(process.execPath, list, { encoding: "utf8" })) as {
      file: string;
    }[];
    expect(listed.map(({ file }) => relative(".", file)).sort()).toEqual(files());
  });

  test("of test/matrix is in exactly one slice, and no slice is empty", () => {
    const slices = slicesOf(files("test/matrix"));
    expect(slices.length).toBeGreaterThan(1);
    expect(slices.flat().sort()).toEqual(files("test/matrix"));
    expect(slices.filter((slice) => slice.length === 0)).toEqual([]);
  });

  test("that boots hosts has a duration, which `make durations FILES=…` measures, and no other has", () => {
    const measured = Object.keys(JSON.parse(readFileSync(FILE, "utf8")) as object);
    expect(measured.sort()).toEqual([...files("test/lab"), ...files("test/matrix")].sort());
  });
});

describe("slices", () => {
  test("are the same in whatever order the files are given", () => {
    const all = files("test/matrix");
    expect(slicesOf(all.toReversed())).toEqual(slicesOf(all));
  });

  test("take about as long as each other", () => {
    const seconds = slicesOf(files("test/matrix")).map((slice) =>
      slice.reduce((sum, file) => sum + secondsOf(file), 0),
    );
    expect(Math.max(...seconds) / Math.min(...seconds)).toBeLessThan(1.5);
  });

  test("include a file that has no duration", () => {
    expect(slicesOf(["test/matrix/new.test.ts"]).flat()).toEqual(["test/matrix/new.test.ts"]);
  });
});
