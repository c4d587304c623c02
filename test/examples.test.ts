import { readFileSync } from "node:fs";
import ts from "typescript";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

const library = [...read("docs/library.md").matchAll(/^ *```ts\n([^]*?)^ *```/gm)].map(([, code]) => code!);

test.each([
  ["examples/web-app/index.ts", [read("examples/web-app/index.ts")]],
  ["docs/library.md", library],
])(
  "every host in %s has a stack id, so that another state's stack of the same name is refused there",
  (_, texts) => {
    const hosts = texts.flatMap(hostsIn);
    expect(hosts.length).toBeGreaterThan(1);
    expect(hosts.filter((args) => !/\bstackId\b/.test(args))).toEqual([]);
  },
);

/** The arguments of each `new PublicHost` and `new InternalHost`. */
function hostsIn(text: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isNewExpression(node) && /^(Public|Internal)Host$/.test(node.expression.getText())) {
      found.push(node.arguments?.at(-1)?.getText() ?? "");
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("example.ts", text, ts.ScriptTarget.Latest, true));
  return found;
}
