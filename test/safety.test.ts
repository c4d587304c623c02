import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

// docs/safety.md gives for each promise the tests that prove it, as `lab/crash.test.ts` "name of a test". What stands in
// double quotes there is the name of a test, of a group of tests, or of a row of a table of tests, and nothing else.

const text = readFileSync(new URL("../docs/safety.md", import.meta.url), "utf8");
const named = [...text.matchAll(/`([\w/]+\.test\.ts)` "([^"]+)"/g)].map(([, file, name]) => [file!, name!]);

test("every quotation of docs/safety.md follows the file that it is from", () => {
  expect(named.length).toBeGreaterThan(50);
  expect(named).toHaveLength([...text.matchAll(/"/g)].length / 2);
});

test.each(named)("docs/safety.md names what there is: %s, %s", (file, name) => {
  const url = new URL(file, import.meta.url);
  expect(existsSync(url), "the file is there").toBe(true);
  const quoted = ['"', "'", "`"].map((quote) => `${quote}${name}${quote}`);
  const source = readFileSync(url, "utf8");
  expect(
    quoted.some((each) => source.includes(each)),
    "the name is there",
  ).toBe(true);
});
