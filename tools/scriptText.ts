import {
  Program,
  commandText,
  installedProgram,
  scriptLibrary,
  scriptNames,
  scriptText,
} from "../components/remoteScript.ts";

/** The scripts of components/scripts that are no parts of the library. */
const names = scriptNames().filter((name) => !(scriptLibrary as readonly string[]).includes(name));

const forLoader = ["PART", "PART_HASH", "TEXTS"];

/** Their names by all that stands behind the header where all of it travels. */
const whole = new Map(names.map((name) => [scriptText(name, {}), name]));

/**
 * Takes apart what travels on standard input. Throws where it is not a header of quoted values and one of the scripts with
 * its library, or the header and the loader. Of the header, what the loader needs is left out; where it has the loader read
 * the text of a program, that is among the values.
 */
export function parseScript(text: string): { script: string; values: Record<string, string> } {
  const { values, rest } = headerOf(text);
  const script = whole.get(rest);
  if (script !== undefined) return { script, values };
  const { PART = "", TEXTS = "" } = values;
  const own = Object.fromEntries(Object.entries(values).filter(([name]) => !forLoader.includes(name)));
  const texts: Record<string, string> = Object.fromEntries(
    TEXTS.split(" ")
      .filter(Boolean)
      .map((pair) => pair.split("=") as [string, string]),
  );
  const programs = Object.fromEntries(
    Object.entries(texts).map(([variable, program]): [string, Program] => [variable, new Program(program)]),
  );
  if (!names.includes(PART) || commandText(PART, own, programs) !== text) {
    throw new Error(`this is neither a script nor a header and the loader: ${text.slice(0, 200)}`);
  }
  const read = Object.entries(texts).map(([name, program]): [string, string] => [
    name,
    installedProgram(program),
  ]);
  return { script: PART, values: { ...own, ...Object.fromEntries(read) } };
}

/** The header of what travels, by its variables, and all that stands behind it. */
export function headerOf(text: string): { values: Record<string, string>; rest: string } {
  const line = /([A-Z][A-Z0-9_]*)='((?:[^']|'\\'')*)'\n/y;
  const values: Record<string, string> = {};
  let end = 0;
  for (let match = line.exec(text); match; match = line.exec(text)) {
    values[match[1]!] = match[2]!.replaceAll(`'\\''`, "'");
    end = line.lastIndex;
  }
  return { values, rest: text.slice(end) };
}
