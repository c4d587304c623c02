import { fingerprintOf } from "./fingerprint.ts";
import {
  isWhole,
  libraryNames,
  libraryOf,
  loaderText,
  readProgram,
  readScript,
  withoutComments,
} from "./scriptFiles.ts";
import { shellQuote } from "./shellQuote.ts";

/** As the value of a script's variable: the text of a program, `shell/programs/<name>.sh`. */
export class Program {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Values that are known. */
export type KnownValues = Record<string, string | Program>;

/** A {@link Part} whose values are known. */
export interface KnownPart {
  script: string;
  values: KnownValues;
}

/**
 * A script with everything that it needs, as a host reads it: a header of its values, the library, and its parts.
 * `read` reads each of these.
 */
export function scriptText(
  common: KnownValues,
  parts: KnownPart[],
  read = (name: string) => withoutComments(readScript(name)),
): string {
  const needed = parts.length === 0 ? libraryNames : parts.flatMap(({ script }) => libraryOf(script));
  const library = [...new Set(needed)].map(read);
  const [first, ...others] = parts;
  if (first && others.length === 0) {
    const header = headerOf({ ...common, ...first.values });
    const call = isWhole(first.script) ? "" : 'apply_parts() { apply; }\nmain "$@"\n';
    return [header, ...library, read(first.script), call].join("");
  }
  const applied = parts.map(({ script }, index) => `values_${index + 1}\n${read(script)}apply\n`);
  const apply = `apply_parts() {\n:\n${applied.join("")}}\nmain "$@"\n`;
  return [headerOf(common), ...parts.map(valuesFunction), ...library, apply].join("");
}

/** What is sent if the host has the tools: the header, and what reads the rest. */
export function commandText(common: KnownValues, parts: KnownPart[]): string {
  const texts = [
    ...parts.map(({ script }) => withoutComments(readScript(script))),
    ...[common, ...parts.map(({ values }) => values)]
      .flatMap(programsIn)
      .map(([, { name }]) => readProgram(name)),
  ];
  const header = headerOf({
    ...textsIn(common),
    PARTS: parts.map(({ script }) => script).join(" "),
    // So that a changed script runs again, although it is not sent.
    PARTS_HASH: fingerprintOf(texts.join()),
  });
  const values = parts.map((part, index) => valuesFunction({ ...part, values: textsIn(part.values) }, index));
  return [header, ...values, withoutComments(loaderText())].join("");
}

const programsIn = (values: KnownValues) =>
  Object.entries(values).filter((entry): entry is [string, Program] => entry[1] instanceof Program);

/** The programs that the host is to read, instead of their texts. */
function textsIn(values: KnownValues): KnownValues {
  const programs = programsIn(values);
  const others = Object.entries(values).filter(([, value]) => !(value instanceof Program));
  const texts = programs.map(([variable, { name }]) => `${variable}=${name}`).join(" ");
  return { ...Object.fromEntries(others), TEXTS: texts };
}

/** The shell function that sets the variables of the n-th part. */
function valuesFunction({ values }: KnownPart, index: number): string {
  return `values_${index + 1}() {\n:\n${headerOf(values)}}\n`;
}

function headerOf(values: KnownValues): string {
  return Object.entries(values)
    .map(
      ([name, value]) =>
        `${name}=${shellQuote(value instanceof Program ? readProgram(value.name) : value)}\n`,
    )
    .join("");
}
