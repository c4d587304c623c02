import { loaderText, readProgram, withoutComments } from "../components/remote/scriptFiles.ts";
import { Program, commandText, scriptText } from "../components/remote/scriptText.ts";
import type { KnownPart, KnownValues } from "../components/remote/scriptText.ts";

/** What is in the header for the loader and the library alone. */
const forLibrary = ["PARTS", "PARTS_HASH", "TEXTS"];

/** Their names by all that stands behind the header where all of it travels. */
const whole = new Map(
  ["hostFacts", "installTools"].map((name) => [scriptText({}, [{ script: name, values: {} }]), name]),
);

/** What travels on standard input, taken apart. */
export interface Parsed {
  /** The variables of the library; where all of it travels, those of its part as well. */
  common: KnownValues;
  parts: KnownPart[];
}

/**
 * Takes apart what travels on standard input. Throws where it is not a header of quoted values and one of the scripts with
 * its library, or the header and the loader.
 */
export function parseCommand(text: string): Parsed {
  const { values, rest } = headerOf(text);
  const script = whole.get(rest);
  if (script !== undefined) return { common: values, parts: [{ script, values: {} }] };
  const { functions, rest: loader } = functionsOf(rest);
  const scripts = (values.PARTS ?? "").split(" ").filter(Boolean);
  const common = withPrograms(values);
  const parts = scripts.map((part, index) => ({
    script: part,
    values: withPrograms(functions[index] ?? {}),
  }));
  if (loader !== withoutComments(loaderText()) || commandText(common, parts) !== text) {
    throw new Error(`this is neither a script nor a header and the loader: ${text.slice(0, 200)}`);
  }
  return { common, parts };
}

/** The values, with the texts of programs in place of their names. */
export function textsOf(values: KnownValues): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value instanceof Program ? readProgram(value.name) : value,
    ]),
  );
}

/** A script as a host reads it, with the library, behind a header of these values. */
export function partText(script: string, values: Record<string, string>): string {
  return scriptText(values, [{ script, values: {} }]);
}

/** Without what is for the loader, and with the programs that it is to read. */
function withPrograms(values: Record<string, string>): KnownValues {
  const own = Object.entries(values).filter(([name]) => !forLibrary.includes(name));
  const texts = (values.TEXTS ?? "").split(" ").filter(Boolean);
  const programs = texts.map((pair) => pair.split("=") as [string, string]);
  const read = programs.map(([name, program]): [string, Program] => [name, new Program(program)]);
  return Object.fromEntries<string | Program>([...own, ...read]);
}

/** The functions `values_1`, `values_2`, … by what they set, and all that stands behind them. */
export function functionsOf(text: string): { functions: Record<string, string>[]; rest: string } {
  const functions: Record<string, string>[] = [];
  let rest = text;
  for (let match = start.exec(rest); match; match = start.exec(rest)) {
    const header = headerOf(rest.slice(match[0].length));
    functions.push(header.values);
    rest = header.rest.replace(/^\}\n/, "");
  }
  return { functions, rest };
}

const start = /^values_\d+\(\) \{\n:\n/;

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
