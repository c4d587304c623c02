import { existsSync, readFileSync } from "node:fs";
import ts from "typescript";
import { describe, expect, test } from "vitest";

// These documents list the tests that prove each promise, as `lab/crash.test.ts` "name of a test". Text in double
// quotes there is always the name of a test, of a group of tests, or of a row in a table of tests.

const QUOTATION = /`([\w/]+\.test\.ts)` "([^"]+)"/g;
const read = (document: string) => readFileSync(new URL(`../docs/${document}`, import.meta.url), "utf8");
const quotations = (text: string) =>
  [...text.matchAll(QUOTATION)].map(([, file, name]) => [file!, name!] as const);

describe.each([
  ["safety.md", 50],
  ["distributions.md", 10],
  ["field-reports.md", 5],
])("docs/%s", (document, least) => {
  const text = read(document);
  const named = quotations(text);

  test("has only quotations that follow their file", () => {
    expect(named.length).toBeGreaterThan(least);
    expect(named).toHaveLength([...text.matchAll(/"/g)].length / 2);
  });

  test.each(named)("names an existing test: %s, %s", (file, name) => {
    expect(existsSync(new URL(file, import.meta.url)), "the file is there").toBe(true);
    expect(placesOf(name, file), "the name is there").not.toEqual([]);
  });
});

describe("each promise of docs/safety.md has a proof that `make test` always runs", () => {
  const promises = tablesOf(read("safety.md")).filter(({ head }) => head === "promise");

  test("in every table of promises", () => {
    expect(promises.length).toBeGreaterThan(10);
  });

  test.each(
    promises.flatMap(({ section, rows }) =>
      rows.map((row) => [section, row.split("|")[1]!.trim(), row] as const),
    ),
  )("%s: %s", (section, _promise, row) => {
    const proofs = quotations(row);
    if (section === ELSEWHERE) expect(proofs.every(([file]) => file.startsWith("selinux/"))).toBe(true);
    else expect(proofs.filter(([file, name]) => alwaysRuns(file, name))).not.toEqual([]);
  });
});

/** QEMU guests, which not every machine can run: `make test-selinux`, every night. */
const ELSEWHERE = "Hosts that enforce SELinux";

/** In the projects unit or lab, and neither the test nor its group runs only `sometimes`. */
function alwaysRuns(file: string, name: string): boolean {
  return !/^(matrix|selinux)\//.test(file) && placesOf(name, file).some((place) => !isSometimes(place));
}

function isSometimes(place: ts.Node): boolean {
  const file = place.getSourceFile().text;
  for (let node = place; !ts.isSourceFile(node); node = node.parent) {
    if (ts.isCallExpression(node) && /\b(sometimes|skip|todo|oneIn)\b/.test(calledBy(node))) return true;
    // A row of a table that is sampled.
    if (ts.isVariableDeclaration(node) && new RegExp(`oneIn\\([^;]*\\b${node.name.getText()}\\b`).test(file))
      return true;
  }
  return false;
}

/** "sometimes.it" of sometimes.it("…", …), and "it.each" of it.each(…)("…", …). */
function calledBy({ expression }: ts.CallExpression): string {
  return ts.isCallExpression(expression) ? calledBy(expression) : expression.getText();
}

/** Where a file has exactly this text in quotes. */
function placesOf(name: string, file: string): ts.Node[] {
  const found: ts.Node[] = [];
  const look = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) && node.text === name) found.push(node);
    ts.forEachChild(node, look);
  };
  look(parsed(file));
  return found;
}

const sources = new Map<string, ts.SourceFile>();
function parsed(file: string): ts.SourceFile {
  const known = sources.get(file);
  if (known) return known;
  const text = readFileSync(new URL(file, import.meta.url), "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  sources.set(file, source);
  return source;
}

/** The tables of a document, each with its heading and the head of its first column. */
function tablesOf(text: string): { section: string; head: string; rows: string[] }[] {
  return text.split(/^#+ /m).flatMap((part) => {
    const [section = ""] = part.split("\n");
    return [...part.matchAll(/(^\|.*\n)+/gm)].map(([table]) => {
      const [head = "", , ...rows] = table.trimEnd().split("\n");
      return { section, head: head.split("|")[1]!.trim(), rows };
    });
  });
}
