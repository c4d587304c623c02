import { execFileSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import {
  libraryOf,
  readScript,
  scriptLibrary,
  scriptNames,
  withoutComments,
} from "../components/remoteScript.ts";

const parts: readonly string[] = scriptLibrary;
const scripts = scriptNames().filter((name) => !parts.includes(name));

/** Those that travel whole: they look at the host and bring it the tools, or read these. */
const beforeTools = ["hostFacts", "installTools", "loader"];

const named = (script: string) => /^# needs: (.*)$/m.exec(readScript(script))?.[1]?.split(" ") ?? [];

/** All that travels, by name. */
const allOf = (script: string) => [...libraryOf(script), script];

/** Without the comments, in which every word may stand. */
const codeOf = (name: string) => `\n${withoutComments(readScript(name))}`;

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
    scripts.map((script) => [script, of(script)] as const).filter(([, all]) => all.length > 0),
  );

test("there are scripts, functions and records to look at", () => {
  expect(scripts).toContain("tunnelService");
  expect(definedIn("files")).toContain("write_file");
  expect(calledIn("knownHost")).toContain("write_file");
  expect(kindsIn("units")).toEqual(expect.arrayContaining(["unit", "restart"]));
});

describe("each script", () => {
  test.each([...parts, ...scripts])("%s means the same without its comments, which do not travel", (name) => {
    // bash prints its functions back as it has understood them.
    const meaning = (text: string) =>
      execFileSync("bash", ["-c", `${text}\ndeclare -f`], { encoding: "utf8" });
    const script = readScript(name).replace(/^(main|install_tools|load) "\$@"\n$/m, "");
    expect(meaning(withoutComments(script))).toBe(meaning(script));
    expect(withoutComments(script)).not.toMatch(/^\s*#/m);
  });

  test("gets messages and lib first of all, and the parts that it names, in their order", () => {
    const inOrder = (one: string, other: string) => parts.indexOf(one) - parts.indexOf(other);
    for (const script of scripts.filter((name) => !beforeTools.includes(name))) {
      expect(libraryOf(script), script).toEqual(["messages", "lib", ...named(script).sort(inOrder)]);
    }
  });

  test("that comes before the tools has messages and no more than it names", () => {
    expect(libraryOf("hostFacts")).toEqual(["messages", "printable"]);
    expect(libraryOf("installTools")).toEqual(["messages"]);
  });

  test("names a part for every function that it calls, by itself or through another part", () => {
    const missing = (script: string) => {
      const defined = allOf(script).flatMap(definedIn);
      // What lib itself calls of other parts, it calls only where these are there.
      const called = allOf(script)
        .filter((name) => name !== "lib")
        .flatMap(calledIn);
      const known = parts.flatMap(definedIn);
      return called.filter((name) => known.includes(name) && !defined.includes(name));
    };
    expect(blame(missing)).toEqual({});
  });

  test("names no part that it has no use for", () => {
    const idle = (script: string) =>
      named(script).filter((part) => {
        const others = allOf(script).filter((name) => !["lib", part].includes(name));
        const undone = others.flatMap(kindsIn).map((kind) => `undo_${kind}`);
        return !definedIn(part).some((name) => [...others.flatMap(calledIn), ...undone].includes(name));
      });
    expect(blame(idle)).toEqual({});
  });

  test("can undo every kind of thing that it puts on its record", () => {
    const cannot = (script: string) => {
      const defined = allOf(script).flatMap(definedIn);
      return allOf(script)
        .flatMap(kindsIn)
        .filter((kind) => !defined.includes(`undo_${kind}`));
    };
    expect(blame(cannot)).toEqual({});
  });

  test("has a record and the lock, or neither", () => {
    const withLock = scripts.filter(
      (script) => !beforeTools.includes(script) && !codeOf(script).includes("\nLOCK=no\n"),
    );
    expect(withLock).toEqual(scripts.filter((script) => named(script).includes("record")));
  });
});
