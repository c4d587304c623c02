import { readdirSync } from "node:fs";
import { scriptLibrary, scriptText } from "../../components/remoteScript.ts";

/** The names of the scripts by all that stands behind the header. */
const scripts = new Map(
  readdirSync(new URL("../../components/scripts", import.meta.url))
    .filter((file) => file.endsWith(".sh"))
    .map((file) => file.slice(0, -".sh".length))
    .filter((name) => !(scriptLibrary as readonly string[]).includes(name))
    .map((name) => [scriptText(name, {}), name]),
);

/**
 * Takes apart what travels on standard input. Throws where it is not a header of quoted values, the library and one of
 * the scripts, and nothing else.
 */
export function parseScript(text: string): { script: string; values: Record<string, string> } {
  const line = /([A-Z][A-Z0-9_]*)='((?:[^']|'\\'')*)'\n/y;
  const values: Record<string, string> = {};
  let rest = 0;
  for (let match = line.exec(text); match; match = line.exec(text)) {
    values[match[1]!] = match[2]!.replaceAll(`'\\''`, "'");
    rest = line.lastIndex;
  }
  const script = scripts.get(text.slice(rest));
  if (script === undefined) {
    throw new Error(`this is not a header, the library and a script: ${text.slice(0, 200)}`);
  }
  return { script, values };
}
