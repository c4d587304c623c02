import { expect, test } from "vitest";
import {
  driftNames,
  libraryNames,
  loaderText,
  partNames,
  programNames,
  programSource,
  readScript,
  withoutComments,
} from "../../components/remote/scriptFiles.ts";

/** The code of a script: without quoted text, which may be code for awk or another shell, and without here-documents. */
function codeOf(script: string): string {
  const text = withoutComments(script)
    .replaceAll(/(<<'?(\w+)'?.*\n)[^]*?\n\2$/gm, "$1")
    // Patterns of a case, whose brackets have no counterpart.
    .replaceAll(/(\bin|;;)(\s+)(?!esac\b)(?:"[^"\n]*"|'[^'\n]*'|[^()"'\n;])+\)/g, "$1$2");
  const next = (char: string, from: number) => `${text}${char}`.indexOf(char, from + 1);
  let code = "";
  // What we are in: a double quote, or an opening bracket, of which there is one around all. $( is code in a double quote.
  const within = ["("];
  for (let i = 0; i < text.length; i++) {
    const quoted = within.at(-1) === '"';
    const char = text[i]!;
    if (char === "\\") i++;
    else if (char === '"' && quoted) within.pop();
    else if (char === '"') within.push('"');
    else if (char === "'" && !quoted) i = next("'", i);
    else if (char === "#" && !quoted && /\s/.test(text[i - 1]!)) i = next("\n", i);
    else if (char === "(" && (!quoted || text[i - 1] === "$")) within.push("(");
    else if (char === ")" && !quoted && within.length > 1) within.pop();
    // A value that a quoted ${name:=value} gives to a variable stays.
    if (!quoted || within.at(-1) === "(") code += char;
    else if (char === "$") code += /^\$\{\w+:?=/.exec(text.slice(i))?.[0] ?? "";
  }
  return code;
}

const names = (code: string, pattern: RegExp) =>
  [...code.matchAll(pattern)]
    .flatMap(([, found]) => found!.split(/\s+/))
    .filter((name) => /^[a-z]/.test(name));

/** The variables that a function gives a value to, and those that are its own. */
const assignedIn = (code: string) => [
  ...names(code, /(?<![\w$-]|-v )([a-z]\w*)\+?=/g),
  ...names(code, /\$\{([a-z]\w*):?=/g),
  ...names(code, /\bfor ([a-z]\w*)/g),
  ...names(code, /\bread((?: -\w(?: [\d.]+)?)*(?: [A-Za-z_]\w*)+)/g),
];
const localIn = (code: string) =>
  names(code, /\blocal (?:-\w )?([^\n;]*)/g).map((name) => name.replace(/=.*/, ""));

/** "function: variable" for each lower-case variable that is neither local nor named by the comment: "sets name". */
function leaksOf(script: string): string[] {
  const functions = /^((?:#.*\n)*)([a-z_]+)\(\) \{(.*\}$|\n[^]*?\n\}$)/gm;
  return [...script.matchAll(functions)].flatMap(([, comment, name, body]) => {
    const code = codeOf(body!);
    const own = new Set(localIn(code));
    const said = new Set(names(comment!, /\b[Ss]ets ([a-z]\w*)\b/g));
    const leaks = assignedIn(code).filter((variable) => !own.has(variable) && !said.has(variable));
    return [...new Set(leaks)].map((variable) => `${name}: ${variable}`);
  });
}

const scripts = new Map([
  ...[...libraryNames, ...driftNames, ...partNames].map((name) => [name, readScript(name)] as const),
  ...programNames.map((name) => [`program ${name}`, programSource(name)] as const),
  ["loader", loaderText()],
]);

// A function that is called sees the variables of its caller: without `local` it would overwrite those of the same name.
test.each([...scripts.keys()])("the lower-case variables of each function are local to it: %s", (name) => {
  expect(leaksOf(scripts.get(name)!)).toEqual([]);
});

test("each declaration is needed: without it, the variable is found", () => {
  for (const [name, script] of scripts) {
    const without = script.replaceAll(/^ *local ([^=\n]*)\n/gm, "");
    const declared = names(script, /^ *local ([a-z][^=\n]*)$/gm);
    const leaks = leaksOf(without).map((leak) => leak.split(": ")[1]);
    expect(new Set(leaks), name).toEqual(new Set(declared));
  }
});

test("variables that are not local are found, however they get their value", () => {
  const leaks = leaksOf(`
# tidy PLACE: sets RESULT, in upper case.
tidy() {
  local a b=1
  local -A c
  a=$1 RESULT=$a
  read -r b _ <file
  for a in 1 2; do printf 'd=%s' "$a e=$b" | awk -v f="$a" '{ g = h }'; done # i=1
  cat <<EOT
j=1
EOT
}

# says of one that it sets here.
documented() { here=1; }

leaky() {
  one=1
  [ -z "$one" ] || two=2
  IFS=, read -r -t 3 three FOUR <file
  for five; do :; done
  : "\${six:=6} \${seven-7}" "it's $(eight=8)"
  printf '%s' "$(case $one in 1) nine="$(ten=10)" ;; esac)"
  (eleven=11)
}

single() { twelve=$(thirteen=13 && echo); }
`);
  const found = "one two eight nine ten eleven six five three".split(" ").map((name) => `leaky: ${name}`);
  expect(leaks.sort()).toEqual([...found, "single: twelve", "single: thirteen"].sort());
});
