import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { anyText, runScript, shells, testScript } from "../support/shells.ts";

const seed = 20260101;

test("there is a shell to test with", () => {
  expect(shells.map(([name]) => name)).toContain("sh");
});

describe("a quoted value", () => {
  test("is in single quotes, except for any single quotes of its own", () => {
    expect(shellQuote("")).toBe("''");
    expect(shellQuote('a $b `c` \\ "d"')).toBe("'a $b `c` \\ \"d\"'");
    expect(shellQuote("it's")).toBe("'it'\\''s'");
  });

  test("cannot contain a NUL, which no shell can hold", () => {
    expect(() => shellQuote("a\0b")).toThrow("a value for a shell script cannot contain the NUL character");
  });

  test.each(shells)("arrives in %s as exactly one word, whatever its content", (_name, shell) => {
    expect.hasAssertions();
    fc.assert(
      // Many at once: a shell takes longer to start than to read a word.
      fc.property(fc.array(anyText, { minLength: 1, maxLength: 40 }), (words) => {
        const { stdout } = runScript(shell, `printf '%s\\0' ${words.map(shellQuote).join(" ")}\n`);
        expect(stdout.split("\0").slice(0, -1)).toEqual(words);
      }),
      { seed, numRuns: 40 },
    );
  });
});

describe("a script's header", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "shell-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const text = ([a, b, c]: string[]) =>
    testScript("printValues", join(folder, "state"), { A: a ?? "", B: b ?? "", C: c ?? "" });

  test.each(shells)("arrives in %s with every value unchanged, after the whole library", (_name, shell) => {
    expect.hasAssertions();
    fc.assert(
      fc.property(fc.array(anyText, { minLength: 3, maxLength: 3 }), (values) => {
        const { stdout, stderr } = runScript(shell, text(values), "apply");
        expect(stdout.split("\0").slice(0, -1)).toEqual(values);
        expect(stderr).toBe("unchanged: gate: the test\n");
      }),
      { seed, numRuns: 40 },
    );
  });

  test.each(shells)("does not make %s run a script that is called wrongly", (_name, shell) => {
    const { stdout, stderr, status } = runScript(shell, text([]), "aply");
    expect(stdout).toBe("");
    expect(stderr).toBe("error: gate: the script was called with 'aply'; it knows apply and remove\n");
    expect(status).toBe(3);
  });
});
