import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { between, markdown, table, writeNumbers } from "../../bench/document.ts";
import { chosen, count, counts } from "../../bench/options.ts";

const document = "before\n<!-- begin: make x -->\n\nold\n\n<!-- end: make x -->\nafter\n";

describe("the document of the benchmarks", () => {
  it("is changed between the markers of the command alone", () => {
    expect(between(document, "make x", "new\n")).toBe(document.replace("old", "new"));
  });

  it("is not changed where a marker is missing, or their order is wrong", () => {
    const [begin, end] = ["<!-- begin: make x -->", "<!-- end: make x -->"];
    for (const broken of [document.replace(begin, ""), document.replace(end, ""), `${end}\n${begin}`]) {
      expect(() => between(broken, "make x", "new")).toThrow("has lost its markers");
    }
  });

  it("has tables as prettier writes them", async () => {
    expect(await markdown(table(["a", "b"], [["long cell", "1"]]))).toBe(
      "| a         | b   |\n| --------- | --- |\n| long cell | 1   |\n",
    );
  });
});

describe("the numbers of the benchmarks", () => {
  it("are kept as prettier writes them, and need no more than four digits", async () => {
    const path = join(mkdtempSync(join(tmpdir(), "numbers-")), "numbers.json");
    await writeNumbers(path, { seconds: [1.23456789, null], name: "x" });
    const text = readFileSync(path, "utf8");
    expect(text).toBe('{ "seconds": [1.2346, null], "name": "x" }\n');
    rmSync(dirname(path), { recursive: true });
  });
});

describe("the options of the benchmarks", () => {
  const all = [{ id: "one" }, { id: "two" }, { id: "three" }];

  it("choose what is named, in the order of all, and everything where nothing is", () => {
    expect(chosen("--x", "three,one", all)).toEqual([{ id: "one" }, { id: "three" }]);
    expect(chosen("--x", undefined, all)).toEqual(all);
  });

  it("name what there is where something else is asked for", () => {
    expect(() => chosen("--x", "one,four", all)).toThrow(
      '--x: "four" is none of them; choose from one,two,three',
    );
  });

  it("take several numbers, each once and the smallest first", () => {
    expect(counts("--n", "10,1,10")).toEqual([1, 10]);
    expect(() => counts("--n", "1,,2")).toThrow("--n takes a whole number");
  });

  it("take whole numbers above 0 alone", () => {
    expect(count("--n", "5")).toBe(5);
    for (const wrong of ["0", "-1", "1.5", "", "many"])
      expect(() => count("--n", wrong)).toThrow("--n takes a whole number");
  });
});
