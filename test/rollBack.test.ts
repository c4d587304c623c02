import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readScript } from "../components/remoteScript.ts";
import { shells } from "./support/shells.ts";

// The very program that a host runs, in a temporary folder of this machine.

let folder: string;
let trial: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "roll-back-"));
  trial = join(folder, "trial");
  mkdirSync(trial);
  writeFileSync(join(trial, "roll-back"), readScript("installed/rollBack"));
  writeFileSync(join(trial, "undo"), `echo "$how" >${folder}/undone\n`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Keeps files as they were; undefined: there was none. */
const keep = (files: Record<string, string | undefined>) => {
  const lines = Object.entries(files).map(([file, text], index) => {
    if (text !== undefined) writeFileSync(join(trial, String(index + 1)), text);
    return `${index + 1}\t${file}\n`;
  });
  writeFileSync(join(trial, "kept"), lines.join(""));
};

const root = process.getuid?.() === 0; // it acts as the owner of a folder

describe.skipIf(!root).each(shells)("a rollback in %s", (_name, shell) => {
  const rollBack = (how: string) =>
    spawnSync(shell[0]!, [...shell.slice(1), join(trial, "roll-back"), how], { encoding: "utf8" }).status;

  test("puts back what was there, takes away what was not, and leaves no trial", () => {
    const [changed, added] = [join(folder, "changed"), join(folder, "added")];
    for (const file of [changed, added]) writeFileSync(file, "new");
    keep({ [changed]: "old\n", [added]: undefined });
    expect(rollBack("script")).toBe(0);
    expect(readFileSync(changed, "utf8")).toBe("old\n");
    expect(existsSync(added)).toBe(false);
    expect(readFileSync(join(folder, "undone"), "utf8")).toBe("script\n");
    expect(existsSync(trial)).toBe(false);
    expect(existsSync(`${trial}.taken-back`)).toBe(false);
  });

  test("notes for the next run that the time was up", () => {
    keep({});
    expect(rollBack("timer")).toBe(0);
    expect(existsSync(`${trial}.taken-back`)).toBe(true);
  });

  test("does nothing where the change was confirmed in the meantime", () => {
    expect(rollBack("timer")).toBe(0);
    expect(existsSync(join(folder, "undone"))).toBe(false);
  });

  test("keeps what it could not put back, makes nothing active, and fails, so that it is tried again", () => {
    keep({ "/proc/nobody-can-write-here": "old" });
    expect(rollBack("timer")).toBe(1);
    expect(existsSync(join(trial, "1"))).toBe(true);
    expect(existsSync(join(trial, "kept"))).toBe(true);
    expect(existsSync(join(folder, "undone"))).toBe(false);
  });
});
