/**
 * Writes each remote script, after its library and a header of dummy values, and each program as it is sent to the
 * hosts, into a folder for shellcheck, whose directives are comments.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  driftNames,
  partNames,
  programNames,
  programSource,
  readScript,
  loaderText,
} from "../components/remote/scriptFiles.ts";
import { scriptText } from "../components/remote/scriptText.ts";

const [folder] = process.argv.slice(2);
if (!folder) {
  throw new Error("usage: tsx tools/assembleScripts.ts FOLDER");
}
/** A value for each variable that a script reads, and for those that always exist. */
function valuesFor(script: string): Record<string, string> {
  const names = new Set([...script.matchAll(/\$\{?([A-Z][A-Z_0-9]+)/g)].map((match) => match[1] ?? ""));
  names.delete("PATH"); // the shell's own
  return Object.fromEntries(
    ["HOST", "OWNER", "STACK_ID", "RESOURCE", "WHAT", ...names].map((name) => [name, "x"]),
  );
}

function write(name: string, text: string): void {
  const directives = "# shellcheck shell=sh\n# shellcheck disable=SC2034,SC2317,SC2329\n";
  writeFileSync(join(folder!, `${name}.sh`), directives + text);
}

const drift = driftNames.map(readScript).join("");
write(
  "drift",
  scriptText(valuesFor(drift), [], readScript).replace(/main "\$@"\n$/, () => drift),
);

for (const script of partNames) {
  write(script, scriptText(valuesFor(readScript(script)), [{ script, values: {} }], readScript));
}
const loader = loaderText();
const header = Object.keys(valuesFor(loader)).map((name) => `${name}=x\n`);
write("loader", header.join("") + loader);

// A program's parts are in each program that needs them.
for (const name of programNames) {
  const text = programSource(name);
  if (text.startsWith("#!")) writeFileSync(join(folder, `program-${name}.sh`), `${text}\n`);
}
