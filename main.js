// What Pulumi runs: index.ts, as JavaScript if `npm run build` has compiled it, since tsx takes half a second to start. A
// compiled program that is older than its source is not run.
// @ts-check
import { existsSync, readdirSync, statSync } from "node:fs";
import { URL, fileURLToPath } from "node:url";

/** @param {string} path */
const fromHere = (path) => fileURLToPath(new URL(path, import.meta.url));

/** When the newest file in a folder was written. @param {string} folder @returns {number} */
const newestIn = (folder) =>
  Math.max(
    ...readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => statSync(`${entry.parentPath}/${entry.name}`).mtimeMs),
  );

const built = fromHere("dist/index.js");
const written = Math.max(newestIn(fromHere("components")), statSync(fromHere("index.ts")).mtimeMs);
const isCurrent = existsSync(built) && statSync(built).mtimeMs > written;
if (!isCurrent) (await import("tsx/esm/api")).register();

/** @type {{ default: () => unknown }} */
const { default: program } = await import(isCurrent ? "./dist/index.js" : "./index.ts");
export default program;
