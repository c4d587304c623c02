import { appendFileSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { libraryNames, partNames, readScript } from "../../components/remote/scriptFiles.ts";
import { runScript, shells, testScript } from "../support/shells.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "record-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const record = () => join(folder, "state/owner/resource");
const file = () => join(folder, "config");

describe.each(shells)("the record of what was done on a host, in %s,", (_, shell) => {
  const run = (verb: "apply" | "remove") => {
    const values = { FILE: file(), LINE: "ours", KEY: "", MARKER: "" };
    return runScript(shell, testScript("addLine", join(folder, "state"), values), verb);
  };

  test("is kept if an entry has a kind that this version does not know, and an error says what to do", () => {
    run("apply");
    appendFileSync(record(), "moon\t/etc/x\n");
    expect(run("remove")).toEqual({
      stdout: "",
      stderr:
        "error: gate: an entry of the kind 'moon' is on record for the test, which another version of this project has written and this one cannot undo; run 'pulumi up' or 'pulumi destroy' with that version\n",
      status: 3,
    });
    expect(readFileSync(record(), "utf8")).toContain("moon\t/etc/x\n");
    expect(readFileSync(file(), "utf8")).toBe("ours\n");
  });

  test("keeps its content if an apply fails, which undoes only what it has added", () => {
    run("apply");
    const before = readFileSync(record(), "utf8");
    const values = { FILE: file(), LINE: "another", KEY: "", MARKER: "" };
    const failing = testScript("addLine", join(folder, "state"), values).replace(
      "apply_parts() { apply; }",
      'apply_parts() { apply; fail "no more"; }',
    );
    expect(runScript(shell, failing, "apply")).toMatchObject({
      stderr: expect.stringMatching(
        /^changed: gate: added a line to .*\nerror: gate: no more\nchanged: gate: removed our line from .*\n$/,
      ) as string,
      status: 3,
    });
    expect(readFileSync(file(), "utf8")).toBe("ours\n");
    expect(readFileSync(record(), "utf8")).toBe(before);
  });

  test("leaves nothing of itself when everything on it is undone", () => {
    run("apply");
    run("remove");
    expect(readdirSync(folder)).toEqual([]);
  });
});

/** Never remove a kind: a record may be as old as the host. `text` is not an entry, but an action of a rollback. */
const kinds =
  "auto created dir drop_in file findings firewalld group home identity key line mask newline pace permit port restart secontext seport settings stale time ufw unit user";

test("every kind of entry that earlier versions have written can be undone", () => {
  const undone = [...libraryNames, ...partNames]
    .map(readScript)
    .flatMap((text) => [...text.matchAll(/^undo_([a-z_]+)\(\) \{/gm)].map(([, kind]) => kind!))
    .filter((kind) => kind !== "text");
  expect([...new Set(undone)].sort().join(" ")).toBe(kinds);
});

test("every kind that the library can undo is declared next to that, with its fields", () => {
  const library = libraryNames.map(readScript).join("");
  const declared = [...library.matchAll(/^kind ([a-z_]+) \S.*\nundo_([a-z_]+)\(\) \{/gm)];
  expect(declared.map(([, kind]) => kind)).toEqual(declared.map(([, , undone]) => undone));
  const all = declared.map(([, kind]) => kind).sort();
  expect(all.join(" ")).toBe(kinds);
});

describe.each(shells)("an entry that the record can hold, in %s,", (_, shell) => {
  test.each([
    ["dir", "/etc/x y", true],
    ["moon", "/etc/x", true],
    ["dir", "/etc/x\ty", false],
    ["moon", "/etc/x\ty", false],
    ["dir", "/etc/x\ny", false],
    ["dir", "/etc/x\t", false],
    ["line", "/etc/x\ty", true],
    ["line", "/etc/x\t", false],
    ["line", "/etc/x\ny\tz", false],
    ["line", "/etc/x\ty\tz", false],
    ["key", "/etc/x\ty\tz", true],
    ["key", "/etc/x\ty\tz\t", false],
    ["settings", "ufw\ta\tb\tc", true],
  ])("%s %j: %s", (kind, value, fits) => {
    const script = testScript("addLine", join(folder, "state"), { KIND: kind, VALUE: value });
    const { status } = runScript(shell, script.replace('\nmain "$@"\n', '\nown_fits "$KIND" "$VALUE"\n'));
    expect(status).toBe(fits ? 0 : 3);
  });
});
