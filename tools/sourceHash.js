// @ts-check
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { URL, fileURLToPath } from "node:url";

/** SHA-256 of everything that the program is made of: index.ts and components/. */
export function sourceHash() {
  const top = fileURLToPath(new URL("../", import.meta.url));
  const files = readdirSync(`${top}components`, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`);
  const hash = createHash("sha256");
  for (const file of [`${top}index.ts`, ...files.sort()])
    hash.update(file.slice(top.length)).update(readFileSync(file));
  return hash.digest("hex");
}
