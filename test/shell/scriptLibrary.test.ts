import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  driftNames,
  libraryNames,
  libraryOf,
  loaderText,
  partNames,
  programNames,
  programSource,
  readScript,
  withoutComments,
} from "../../components/remote/scriptFiles.ts";

const library: readonly string[] = libraryNames;
const inFolder = readdirSync(new URL("../../components/shell/lib/", import.meta.url));

/** Those that travel whole: they look at the host and bring it the tools. */
const beforeTools = ["hostFacts", "installTools"];

/** The loader's functions are there beside the library's. */
const textOf = (name: string) => (name === "loader" ? loaderText() : readScript(name));

/** What a script may have of its own in place of the library's. */
const replaced = ["takes_tools", "clear_work", "ask_sshd"];

/** Without the comments, in which every word may stand. */
const codeOf = (name: string) => `\n${withoutComments(textOf(name))}`;

const words = (name: string, pattern: RegExp) =>
  [...codeOf(name).matchAll(pattern)].map((groups) => groups.slice(1).find(Boolean)!);

const definedIn = (name: string) => words(name, /^([a-z_]+)\(\) \{/gm);

/** The words that stand where the shell looks for a command. */
const calledIn = (name: string) =>
  words(name, /(?:^|[;&|({!]|\b(?:if|then|else|elif|do|until|while)\s)\s*([a-z_]+)\b/gm);

/** The kinds of entries that it writes on its record. */
const kindsIn = (name: string) =>
  words(name, /\b(?:own|own_alone|share) ([a-z_]+) "|\$\{RECORDED\}([a-z_]+)\$TAB/g);

/** What each script has to be blamed for; those with nothing are left out. */
const blame = (of: (script: string) => string[]): Record<string, string[]> =>
  Object.fromEntries(
    partNames.map((script) => [script, of(script)] as const).filter(([, all]) => all.length > 0),
  );

test("there are scripts, functions and records to look at", () => {
  expect(partNames).toContain("tunnelService");
  expect(inFolder.sort()).toEqual(library.map((name) => `${name}.sh`).sort());
  expect(definedIn("files")).toContain("write_file");
  expect(calledIn("knownHost")).toContain("write_file");
  expect(kindsIn("units")).toEqual(expect.arrayContaining(["unit", "restart"]));
});

describe("each script", () => {
  // Code outside functions counts in a program only. Elsewhere it calls what is defined, which does not travel alone.
  const functionsIn = (name: string) => textOf(name).replace(/^(main|install_tools|load) "\$@"\n$/m, "");
  const scripts = [...library, "loader", ...partNames].map((name) => [name, functionsIn(name)] as const);
  const programs = programNames.map(
    (name) => [`program ${name}`, `program() {\n${programSource(name)}\n}`] as const,
  );

  test.each([...scripts, ...programs])(
    "%s means the same without its comments, which do not travel",
    (_, script) => {
      // bash prints its functions back as it has understood them.
      const meaning = (text: string) =>
        execFileSync("bash", ["-c", `kind() { :; }\n${text}\ndeclare -f`], { encoding: "utf8" });
      expect(meaning(withoutComments(script))).toBe(meaning(script));
      expect(withoutComments(script)).not.toMatch(/^\s*#(?!!)/m);
    },
  );

  test("gets the whole library", () => {
    for (const script of partNames.filter((name) => !beforeTools.includes(name))) {
      expect(libraryOf(script), script).toEqual(library);
    }
  });

  test("that comes before the tools has messages and no more than it names", () => {
    expect(libraryOf("hostFacts")).toEqual(["messages", "connection", "printable", "sshd"]);
    expect(libraryOf("installTools")).toEqual(["messages"]);
  });

  // A removal reads nothing but the library, whatever the version that made the thing.
  test("puts no kind of thing on its record that the library cannot undo", () => {
    const undone = library.flatMap(definedIn);
    const cannot = (script: string) =>
      [...library, script].flatMap(kindsIn).filter((kind) => !undone.includes(`undo_${kind}`));
    expect(blame(cannot)).toEqual({});
  });

  test("has its functions for itself: none of them has the name of one of the library, or of the loader", () => {
    const others = [...library, ...driftNames, "loader"].flatMap(definedIn);
    const taken = (script: string) =>
      definedIn(script).filter((name) => others.includes(name) && !replaced.includes(name));
    const own = (script: string) => (beforeTools.includes(script) ? [] : taken(script));
    expect(blame(own)).toEqual({});
    expect(others.filter((name, index) => others.indexOf(name) !== index)).toEqual([]);
  });
});

test("each firewall has the functions that firewalls.sh lists", () => {
  const listed = [...readScript("firewalls").matchAll(/^# {3}([a-z_]+_)\*/gm)].map(([, verb]) => verb!);
  expect(listed.length).toBeGreaterThan(10);
  for (const firewall of ["firewalld", "ufw"]) {
    expect(definedIn(firewall)).toEqual(expect.arrayContaining(listed.map((verb) => `${verb}${firewall}`)));
  }
});
