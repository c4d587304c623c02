// `npm run build`: compiles the program and the components into dist/, all or nothing, with the hash of what it was made from,
// by which main.js knows whether it is up to date.
// @ts-check
import { execFileSync } from "node:child_process";
import { cpSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { sourceHash } from "./sourceHash.js";

const [made, place] = ["dist.new", "dist"];
rmSync(made, { recursive: true, force: true });
execFileSync("tsc", ["-p", "tsconfig.build.json", "--noEmitOnError", "--outDir", made], { stdio: "inherit" });
cpSync("components", `${made}/components`, {
  recursive: true,
  filter: (path) => statSync(path).isDirectory() || path.endsWith(".sh"),
});
writeFileSync(`${made}/source-hash`, sourceHash());
rmSync(place, { recursive: true, force: true });
renameSync(made, place);
