/**
 * Writes each remote script behind its library and a header of dummy values, and each program as it goes to the hosts, into
 * a folder: for shellcheck, whose directives are comments.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  installedProgram,
  readScript,
  scriptLibrary,
  scriptNames,
  scriptText,
} from "../components/remoteScript.ts";

const [folder] = process.argv.slice(2);
if (!folder) {
  throw new Error("usage: tsx tools/assembleScripts.ts FOLDER");
}
const scripts = scriptNames().filter((script) => !(scriptLibrary as readonly string[]).includes(script));

for (const script of scripts) {
  const names = new Set(
    [...readScript(script).matchAll(/\$\{?([A-Z][A-Z_0-9]+)/g)].map((match) => match[1] ?? ""),
  );
  names.delete("PATH"); // the shell's own
  const header = Object.fromEntries(
    ["HOST", "OWNER", "STACK_ID", "RESOURCE", "WHAT", ...names].map((name) => [name, "x"]),
  );
  writeFileSync(
    join(folder, `${script}.sh`),
    `# shellcheck shell=sh\n# shellcheck disable=SC2034,SC2317,SC2329\n${scriptText(header, [{ script, values: {} }], readScript)}`,
  );
}

// A part of a program is in each that needs it.
for (const name of scriptNames("installed")) {
  const text = installedProgram(name);
  if (text.startsWith("#!")) writeFileSync(join(folder, `installed-${name}.sh`), `${text}\n`);
}
