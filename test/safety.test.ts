import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

// These documents give for each promise the tests that prove it, as `lab/crash.test.ts` "name of a test". What stands in
// double quotes there is the name of a test, of a group of tests, or of a row of a table of tests, and nothing else.

describe.each([
  ["safety.md", 50],
  ["distributions.md", 10],
])("docs/%s", (document, least) => {
  const text = readFileSync(new URL(`../docs/${document}`, import.meta.url), "utf8");
  const named = [...text.matchAll(/`([\w/]+\.test\.ts)` "([^"]+)"/g)].map(([, file, name]) => [file!, name!]);

  test("has no quotation that does not follow the file that it is from", () => {
    expect(named.length).toBeGreaterThan(least);
    expect(named).toHaveLength([...text.matchAll(/"/g)].length / 2);
  });

  test.each(named)("names what there is: %s, %s", (file, name) => {
    const url = new URL(file, import.meta.url);
    expect(existsSync(url), "the file is there").toBe(true);
    const quoted = ['"', "'", "`"].map((quote) => `${quote}${name}${quote}`);
    const source = readFileSync(url, "utf8");
    expect(
      quoted.some((each) => source.includes(each)),
      "the name is there",
    ).toBe(true);
  });
});
