// What Pulumi runs: index.ts, as JavaScript if `npm run build` has compiled this very source, since tsx takes half a second
// to start.
// @ts-check
import { readFileSync } from "node:fs";
import { URL } from "node:url";
import { sourceHash } from "./tools/sourceHash.js";

function isBuilt() {
  try {
    return readFileSync(new URL("dist/source-hash", import.meta.url), "utf8") === sourceHash();
  } catch {
    return false; // nobody has compiled it
  }
}

const built = isBuilt();
if (!built) (await import("tsx/esm/api")).register();

/** @type {{ default: () => unknown }} */
const { default: program } = await import(built ? "./dist/index.js" : "./index.ts");
export default program;
