import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
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

/** Keeps files as they were; undefined: there was none. They are put back by this user and group. */
const keep = (files: Record<string, string | undefined>, ids = "0:0") => {
  const lines = Object.entries(files).map(([file, text], index) => {
    if (text !== undefined) writeFileSync(join(trial, String(index + 1)), text);
    return `${index + 1}\t${ids}\t${file}\n`;
  });
  writeFileSync(join(trial, "kept"), `${lines.join("")}whole\n`);
};

const root = process.getuid?.() === 0; // it acts as the owner of a folder

describe.skipIf(!root).each(shells)("a rollback in %s", (_name, shell) => {
  const run = (how: string) =>
    spawnSync(shell[0]!, [...shell.slice(1), join(trial, "roll-back"), how], {
      encoding: "utf8",
      timeout: 30_000,
    });
  const rollBack = (how: string) => run(how).status;

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

  test("keeps all of it and fails where what it undoes besides files complains, so that it is tried again", () => {
    const changed = join(folder, "changed");
    writeFileSync(changed, "new");
    keep({ [changed]: "old\n" });
    writeFileSync(join(trial, "undo"), "[ -e ../healed ] || complain 'sshd cannot be reloaded'\n");
    const { status, stderr } = run("timer");
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: "ssh-reverse-tunnel: sshd cannot be reloaded\n",
    });
    expect(existsSync(join(trial, "kept"))).toBe(true);
    expect(existsSync(`${trial}.taken-back`)).toBe(false);
    writeFileSync(join(folder, "healed"), "");
    expect(rollBack("timer")).toBe(0);
    expect(readFileSync(changed, "utf8")).toBe("old\n");
    expect(existsSync(trial)).toBe(false);
  });

  test("puts nothing back by a list that is not whole, since nothing was changed under it", () => {
    const [changed, odd] = [join(folder, "changed"), join(folder, "odd")];
    for (const file of [changed, odd]) writeFileSync(file, "new");
    for (const torn of ["", `1\t0:0\t${changed}\n`, `1\t0:0\t${changed}\n2\t0:0\t${odd.slice(0, -1)}`]) {
      writeFileSync(join(trial, "1"), "");
      writeFileSync(join(trial, "kept"), torn);
      const { status, stderr } = run("boot");
      expect({ status, stderr }).toEqual({
        status: 0,
        stderr: expect.stringContaining("kept is damaged") as string,
      });
      expect(readFileSync(changed, "utf8")).toBe("new");
    }
  });

  test("puts back a file whose path has spaces and what a shell takes for a pattern, and no other", () => {
    const home = join(folder, "John Doe * [x]");
    mkdirSync(home);
    mkdirSync(join(folder, "John"));
    writeFileSync(join(home, "nas.conf"), "new");
    writeFileSync(join(folder, "John", "mail"), "John's");
    keep({ [join(home, "nas.conf")]: "old\n" });
    expect(rollBack("timer")).toBe(0);
    expect(readFileSync(join(home, "nas.conf"), "utf8")).toBe("old\n");
    expect(readdirSync(folder).sort()).toEqual(["John", "John Doe * [x]", "trial.taken-back", "undone"]);
    expect(readdirSync(join(folder, "John"))).toEqual(["mail"]);
  });

  describe("of an account's file", () => {
    const nobody = 65534;
    let home: string;
    beforeEach(() => {
      chmodSync(folder, 0o755);
      home = join(folder, "home");
      mkdirSync(home);
      chownSync(home, nobody, nobody);
    });

    test("is the account's own act, with the mode that the file had", () => {
      const file = join(home, "nas.conf");
      keep({ [file]: "old\n" }, `${nobody}:${nobody}`);
      chmodSync(join(trial, "1"), 0o600);
      expect(rollBack("timer")).toBe(0);
      const { uid, gid, mode } = statSync(file);
      expect({ uid, gid, mode: mode & 0o7777 }).toEqual({ uid: nobody, gid: nobody, mode: 0o600 });
    });

    test("writes nowhere that the account could not write, whatever it has put in the way", () => {
      mkdirSync(join(folder, "roots"), { mode: 0o755 });
      rmdirSync(home);
      symlinkSync(join(folder, "roots"), home);
      keep({ [join(home, "nas.conf")]: "old\n" }, `${nobody}:${nobody}`);
      expect(rollBack("timer")).toBe(1);
      expect(readdirSync(join(folder, "roots"))).toEqual([]);
      expect(existsSync(join(trial, "kept"))).toBe(true);
    });

    test("replaces a pipe and a link in its place, and follows neither", () => {
      const [pipe, link] = [join(home, "pipe.conf"), join(home, "link.conf")];
      spawnSync("mkfifo", [pipe]);
      writeFileSync(join(folder, "secret"), "secret", { mode: 0o600 });
      symlinkSync(join(folder, "secret"), link);
      keep({ [pipe]: "one\n", [link]: "two\n" }, `${nobody}:${nobody}`);
      expect(rollBack("timer")).toBe(0);
      expect([readFileSync(pipe, "utf8"), readFileSync(link, "utf8")]).toEqual(["one\n", "two\n"]);
      expect(lstatSync(link).isFile()).toBe(true);
      expect(readFileSync(join(folder, "secret"), "utf8")).toBe("secret");
    });
  });
});
