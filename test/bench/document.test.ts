import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { between, markdown, table, writeNumbers } from "../../bench/document.ts";
import { chosen, count, counts } from "../../bench/options.ts";

const document = "before\n<!-- begin: make x -->\n\nold\n\n<!-- end: make x -->\nafter\n";

describe("the document of the benchmarks", () => {
  it("changes only between the markers of the command", () => {
    expect(between(document, "make x", "new\n")).toBe(document.replace("old", "new"));
  });

  it("does not change if a marker is missing or the markers are in the wrong order", () => {
    const [begin, end] = ["<!-- begin: make x -->", "<!-- end: make x -->"];
    for (const broken of [document.replace(begin, ""), document.replace(end, ""), `${end}\n${begin}`]) {
      expect(() => between(broken, "make x", "new")).toThrow("has lost its markers");
    }
  });

  it("has tables in prettier's format", async () => {
    expect(await markdown(table(["a", "b"], [["long cell", "1"]]))).toBe(
      "| a         | b   |\n| --------- | --- |\n| long cell | 1   |\n",
    );
  });
});

describe("the numbers of the benchmarks", () => {
  it("are in prettier's format and have at most four digits", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "numbers-")), "numbers.json");
    await writeNumbers(path, { seconds: [1.23456789, null], name: "x" });
    const text = readFileSync(path, "utf8");
    expect(text).toBe('{ "seconds": [1.2346, null], "name": "x" }\n');
    rmSync(dirname(path), { recursive: true });
  });
});

describe("the options of the benchmarks", () => {
  const all = [{ id: "one" }, { id: "two" }, { id: "three" }];

  it("select the named items in their fixed order, and everything if none is named", () => {
    expect(chosen("--x", "three,one", all)).toEqual([{ id: "one" }, { id: "three" }]);
    expect(chosen("--x", undefined, all)).toEqual(all);
  });

  it("list the valid values in the error for an unknown one", () => {
    expect(() => chosen("--x", "one,four", all)).toThrow(
      '--x: "four" is none of them; choose from one,two,three',
    );
  });

  it("accept several numbers, without duplicates and in ascending order", () => {
    expect(counts("--n", "10,1,10")).toEqual([1, 10]);
    expect(() => counts("--n", "1,,2")).toThrow("--n takes a whole number");
  });

  it("accept only whole numbers above 0", () => {
    expect(count("--n", "5")).toBe(5);
    for (const wrong of ["0", "-1", "1.5", "", "many"])
      expect(() => count("--n", wrong)).toThrow("--n takes a whole number");
  });
});
