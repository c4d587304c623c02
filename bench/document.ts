import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format } from "prettier";

const DOCS = new URL("../docs/", import.meta.url);

/** The path of a file among the documents. */
export function documentPath(name: string): string {
  return fileURLToPath(new URL(name, DOCS));
}

/** Lines of Markdown in the project's format. */
export async function markdown(lines: string[]): Promise<string> {
  return format(lines.join("\n"), { parser: "markdown", printWidth: 110 });
}

/** A table in Markdown, as lines. */
export function table(head: string[], rows: string[][]): string[] {
  const line = (cells: string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

/** Stores numbers in a file, with four digits after the point, in the project's JSON format. */
export async function writeNumbers(path: string, value: unknown): Promise<void> {
  const rounded = JSON.stringify(value, (_, part: unknown) =>
    typeof part === "number" ? Math.round(part * 1e4) / 1e4 : part,
  );
  writeFileSync(path, await format(rounded, { parser: "json", printWidth: 110 }));
}

/** Writes a text between the markers of a command in docs/benchmarks.md. */
export function keep(command: string, text: string): void {
  const path = documentPath("benchmarks.md");
  writeFileSync(path, between(readFileSync(path, "utf8"), command, text));
}

/** The document with this text between the markers of a command. */
export function between(document: string, command: string, text: string): string {
  const [begin, end] = [`<!-- begin: ${command} -->`, `<!-- end: ${command} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has lost its markers ${begin} and ${end}`);
  return `${document.slice(0, from)}${begin}\n\n${text.trim()}\n\n${document.slice(to)}`;
}
