import { loaderText, readProgram, withoutComments } from "../components/remote/scriptFiles.ts";
import { Program, commandText, scriptText } from "../components/remote/scriptText.ts";
import type { KnownPart, KnownValues } from "../components/remote/scriptText.ts";

/** What is in the header only for the loader and the library. */
const forLibrary = ["PARTS", "PARTS_HASH", "TEXTS"];

/** Their names by everything after the header, for scripts whose whole text is sent. */
const whole = new Map(
  ["hostFacts", "installTools"].map((name) => [scriptText({}, [{ script: name, values: {} }]), name]),
);

/** The parsed standard input of a command. */
export interface Parsed {
  /** The variables of the library; if the whole text is sent, those of its part as well. */
  common: KnownValues;
  parts: KnownPart[];
}

/**
 * Parses the standard input of a command. Throws if it is neither a header of quoted values and one of the scripts with
 * its library, nor the header and the loader.
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

/** The values, with the texts of programs replaced by their names. */
export function textsOf(values: KnownValues): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value instanceof Program ? readProgram(value.name) : value,
    ]),
  );
}

/** A script as a host reads it, with the library, after a header of these values. */
export function partText(script: string, values: Record<string, string>): string {
  return scriptText(values, [{ script, values: {} }]);
}

/** Without the loader's values, and with the programs that it is to read. */
function withPrograms(values: Record<string, string>): KnownValues {
  const own = Object.entries(values).filter(([name]) => !forLibrary.includes(name));
  const texts = (values.TEXTS ?? "").split(" ").filter(Boolean);
  const programs = texts.map((pair) => pair.split("=") as [string, string]);
  const read = programs.map(([name, program]): [string, Program] => [name, new Program(program)]);
  return Object.fromEntries<string | Program>([...own, ...read]);
}

/** The functions `values_1`, `values_2`, … by what they set, and everything after them. */
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

/** The variables of the header, and everything after it. */
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
