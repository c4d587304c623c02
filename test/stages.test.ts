import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { runScript, shells, testScript } from "./support/shells.ts";

// What a stage keeps for a later one to sweep: the library as it is sent, run on this machine in a temporary folder.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "stages-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recordFile = (name: string) => join(folder, "state/owner", name);
const recordOf = (name: string) =>
  readFileSync(recordFile(name), "utf8").replaceAll(`${folder}/`, "").split("\n").slice(0, -1);

/** The content of the file with the record's name, sorted. */
const linesOf = (name: string) =>
  existsSync(join(folder, name))
    ? readFileSync(join(folder, name), "utf8").split("\n").slice(0, -1).sort().join(" ")
    : undefined;

const removed = (name: string) => `changed: gate: removed our line from ${join(folder, name)}\n`;
const token = /^token [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n$/;

interface Stage {
  lines?: string;
  keeps?: boolean | "renamed";
  settles?: string;
  undoes?: string;
  /** What the script does at its end. */
  then?: string;
  /** Functions that replace the library's. */
  instead?: string;
}

describe.each(shells)("in %s, a stage", (_name, shell) => {
  /** Lines in a file of the stage, with one record of that name. */
  const run = (name: string, stage: Stage, verb: "apply" | "remove" = "apply") => {
    const { lines = "", keeps, settles, undoes, then = ":", instead = "" } = stage;
    const values = {
      RESOURCE: name,
      FILE: join(folder, name),
      LINES: lines.split(" ").join("\n"),
      THEN: then,
      ...(keeps ? { STALE: keeps === true ? "keep" : keeps } : {}),
      ...(settles ? { SETTLES: settles } : {}),
      ...(undoes ? { RECORDS: undoes } : {}),
    };
    const text = testScript("addLines", join(folder, "state"), values)
      .replaceAll("/run/$OWNER", `${folder}/$OWNER`)
      .replace("systemd-cat -t ssh-reverse-tunnel", "cat")
      .replace(/main "\$@"\n$/, () => `${instead}\nmain "$@"\n`);
    return runScript(shell, text, verb);
  };
  const keep = (lines: string, more: Stage = {}) => run("a", { lines, keeps: true, ...more });
  const settle = (more: Stage = {}) => run("b", { settles: "a", ...more });

  test("that keeps nothing prints no token", () => {
    expect(keep("one two")).toMatchObject({ stdout: "", status: 0 });
    expect(keep("one two three")).toMatchObject({ stdout: "", status: 0 });
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\tone", "line\ta\ttwo", "line\ta\tthree"]);
  });

  test("leaves what is stale, records it before anything else, and prints a token", () => {
    keep("one two three");
    expect(keep("two four")).toEqual({
      stdout: expect.stringMatching(token) as string,
      stderr: `changed: gate: added a line to ${join(folder, "a")}\n`,
      status: 0,
    });
    expect(linesOf("a")).toBe("four one three two");
    expect(recordOf("a")).toEqual([
      "stale\tline\ta\tone",
      "stale\tline\ta\tthree",
      "created\ta",
      "line\ta\tone",
      "line\ta\ttwo",
      "line\ta\tthree",
      "line\ta\tfour",
    ]);
  });

  test("that is run again without changes writes nothing, and prints a new token", () => {
    keep("one");
    const first = keep("two").stdout;
    utimesSync(recordFile("a"), 1, 1);
    const second = keep("two");
    expect(second).toMatchObject({ stdout: expect.stringMatching(token) as string, stderr: unchanged });
    expect(second.stdout).not.toBe(first);
    expect(statSync(recordFile("a")).mtimeMs).toBe(1000);
  });

  test("keeps what was stale and is wanted again, and makes the other one stale", () => {
    keep("one");
    keep("two");
    expect(keep("one").stdout).toMatch(token);
    expect(recordOf("a")).toEqual(["stale\tline\ta\ttwo", "created\ta", "line\ta\tone", "line\ta\ttwo"]);
    expect(keep("one two").stdout).toBe("");
    expect(recordOf("a")).not.toContainEqual(expect.stringContaining("stale"));
  });

  test("sweeps what only this run needed", () => {
    keep("one");
    const then = 'write_record "${RECORDED}file$TAB$FILE.new$NL"; : >"$FILE.new"';
    expect(keep("two", { then }).stderr).toContain(`changed: gate: removed ${join(folder, "a.new")}\n`);
    expect(readdirSync(folder).sort()).toEqual(["a", "state"]);
    expect(recordOf("a")).toEqual(["stale\tline\ta\tone", "created\ta", "line\ta\tone", "line\ta\ttwo"]);
  });

  test("makes a restart that a killed run could not make, and only once", () => {
    keep("one", { then: "must_run x.service; kill -s KILL $$" });
    expect(recordOf("a")).toContain("restart\tx.service");
    const then = 'must_run x.service; say "restart: $RESTART"';
    expect(keep("one", { then }).stderr).toContain("restart: yes\n");
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\tone"]);
    expect(keep("one", { then }).stderr).toContain("restart: \n");
  });

  test("that fails in its apply keeps what was stale, and undoes only what it has added", () => {
    keep("one");
    keep("two");
    const before = recordOf("a");
    expect(keep("three", { then: 'fail "no more"' })).toMatchObject({ stdout: "", status: 3 });
    expect(linesOf("a")).toBe("one two");
    expect(recordOf("a")).toEqual(before);
  });

  test("that settles sweeps what is stale in the records that it names, and nothing else", () => {
    for (const name of ["a", "c", "d"]) {
      run(name, { lines: "one two", keeps: true });
      run(name, { lines: "two", keeps: true });
    }
    expect(settle({ lines: "its", settles: "a absent d" })).toEqual({
      stdout: "",
      stderr: `changed: gate: added a line to ${join(folder, "b")}\n${removed("a")}${removed("d")}`,
      status: 0,
    });
    expect(["a", "b", "c", "d"].map(linesOf)).toEqual(["two", "its", "one two", "two"]);
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\ttwo"]);
    expect(recordOf("b")).toEqual(["created\tb", "line\tb\tits"]);
    expect(recordOf("c")).toContain("stale\tline\tc\tone");
  });

  test("that settles changes nothing if nothing is stale", () => {
    keep("one");
    const before = recordOf("a");
    writeFileSync(join(folder, "a"), "one\ntheirs\n");
    expect(settle()).toEqual({ stdout: "", stderr: unchanged, status: 0 });
    expect(linesOf("a")).toBe("one theirs");
    expect(recordOf("a")).toEqual(before);
  });

  test("that settles sweeps its own record first, and no other if that fails", () => {
    keep("one");
    keep("two");
    settle({ lines: "its", settles: "" });
    expect(settle({ instead: 'undo_line() { fail "no"; }' })).toMatchObject({ status: 3 });
    expect([linesOf("a"), linesOf("b")]).toEqual(["one two", "its"]);
    expect(settle()).toMatchObject({
      stderr: `${removed("b")}changed: gate: removed ${join(folder, "b")}\n${removed("a")}`,
    });
  });

  test("that settles and fails halfway sweeps the rest the next time", () => {
    keep("one two");
    keep("three");
    // The latest goes first; the other one cannot be removed yet.
    const instead = 'undo_line() { case $1 in *one) fail "not yet" ;; esac; }';
    expect(settle({ instead })).toMatchObject({ status: 3, stderr: "error: gate: not yet\n" });
    expect(recordOf("a")).toEqual([
      "stale\tline\ta\tone",
      "stale\tline\ta\ttwo",
      "created\ta",
      "line\ta\tone",
      "line\ta\tthree",
    ]);
    expect(settle()).toMatchObject({ status: 0, stderr: removed("a") });
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\tthree"]);
  });

  test("that settles leaves what another record also holds", () => {
    keep("one");
    keep("two");
    run("c", { then: 'own line "${FILE%c}a${TAB}one"' });
    settle();
    expect(linesOf("a")).toBe("one two");
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\ttwo"]);
  });

  test("that settles waits for its condition before it does so", () => {
    keep("one");
    keep("two");
    const waits = (command: string) =>
      settle({ then: "WAITS_FOR=works", instead: `works() { ${command}; }` });
    expect(waits('fail "it does not work"')).toMatchObject({ status: 3 });
    expect(linesOf("a")).toBe("one two");
    expect(waits(":")).toMatchObject({ status: 0, stderr: removed("a") });
    expect(linesOf("a")).toBe("two");
  });

  test("that settles sweeps before it checks what an account can break, and fails if that does not work", () => {
    keep("one");
    keep("two");
    run("b", { lines: "its old" });
    const checks = (command: string, lines: string) =>
      settle({ lines, then: "CHECKS_LAST=works", instead: `works() { ${command}; }` });
    const broken = checks('[ ! -e "$LOCK_FILE" ] || fail "it has the lock"; fail "it does not work"', "its");
    expect(broken).toEqual({
      stdout: "",
      stderr: `${removed("b")}${removed("a")}error: gate: it does not work\n`,
      status: 3,
    });
    expect(["a", "b"].map(linesOf)).toEqual(["two", "its"]);
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\ttwo"]);
    // Another run may have begun by then.
    checks('mkdir "$OVERWRITTEN"; fail "it does not work"', "its");
    const ofOthers = readdirSync(folder).filter((name) => name.endsWith(".overwritten"));
    expect(ofOthers).toHaveLength(1);
    rmSync(join(folder, ofOthers[0]!), { recursive: true });
    expect(checks('say "it works"', "its")).toMatchObject({
      status: 0,
      stderr: `it works\n${unchanged}`,
    });
  });

  test("that keeps what is wanted under another name now sweeps everything else, and settles", () => {
    keep("one");
    keep("two");
    const line = (name: string) => `line$TAB$FILE\${TAB}${name}`;
    const rename = (lines: string, names: string) =>
      run("c", { lines, keeps: "renamed", settles: "a", then: `RENAMED="${names}"` });
    run("c", { lines: "al. al.x al..y bo.x" });
    const renamed = rename("al.z", `${line("al.")}\${NL}${line("cy.")}\${NL}`);
    expect(renamed).toMatchObject({ stdout: expect.stringMatching(token) as string, status: 0 });
    expect(["a", "c"].map(linesOf)).toEqual(["two", "al.x al.z"]);
    expect(recordOf("c")).toEqual(["stale\tline\tc\tal.x", "created\tc", "line\tc\tal.x", "line\tc\tal.z"]);
    expect(rename("al.z", `${line("al.")}\${NL}`).stderr).toBe(unchanged);
    expect(linesOf("c")).toBe("al.x al.z");
    expect(settle({ settles: "c" })).toMatchObject({ status: 0, stderr: removed("c") });
    expect(recordOf("c")).toEqual(["created\tc", "line\tc\tal.z"]);
    expect(rename("bo.x", "")).toMatchObject({ stdout: "", status: 0 });
    expect(linesOf("c")).toBe("bo.x");
  });

  test("that fails restores the file of ours that it has rewritten, with its mode", () => {
    const conf = join(folder, "a.conf");
    const write = (mode: string, text: string) => `write_file "$FILE.conf" ${mode} ${text}`;
    keep("one", { then: write("640", "old") });
    const before = recordOf("a");
    expect(keep("one", { then: `${write("600", "new")}; fail "no more"` })).toMatchObject({
      status: 3,
      stderr: `changed: gate: wrote ${conf}\nerror: gate: no more\nchanged: gate: restored ${conf}\n`,
    });
    expect([readFileSync(conf, "utf8"), statSync(conf).mode & 0o777]).toEqual(["old\n", 0o640]);
    expect(recordOf("a")).toEqual(before);
    expect(readdirSync(folder).sort()).toEqual(["a", "a.conf", "state"]);
  });

  test("that settles nothing sweeps its own record", () => {
    run("a", { lines: "one" });
    expect(run("a", { lines: "two" })).toMatchObject({
      stdout: "",
      stderr: expect.stringContaining(removed("a")) as string,
    });
    expect(recordOf("a")).toEqual(["created\ta", "line\ta\ttwo"]);
  });

  test("is removed with everything that it has kept", () => {
    keep("one");
    keep("two");
    expect(run("a", {}, "remove")).toMatchObject({ stdout: "", status: 0 });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("that removes several records undoes them in the given order", () => {
    for (const name of ["a", "b", "c"]) run(name, { lines: "one" });
    const gone = (name: string) => `${removed(name)}changed: gate: removed ${join(folder, name)}\n`;
    expect(run("a", { undoes: "b absent a" }, "remove")).toEqual({
      stdout: "",
      stderr: `${gone("b")}${gone("a")}`,
      status: 0,
    });
    expect(readdirSync(folder).sort()).toEqual(["c", "state"]);
    expect(readdirSync(join(folder, "state/owner"))).toEqual(["c"]);
  });

  test("that waits for the end of its session to remove several records leaves those that were applied again", async () => {
    for (const name of ["a", "b"]) run(name, { lines: "one" });
    // Another removal, after which this one continues.
    const before = spawn("sleep", ["600"]);
    try {
      writeFileSync(join(folder, "owner.later"), `${before.pid}\n`);
      const instead = "comes_through_recorded() { :; }\nfind_sshd() { return 1; }";
      const { stderr, status } = run("a", { undoes: "b a", instead }, "remove");
      expect({ stderr, status }).toEqual({
        stderr:
          "note: gate: this session comes through the tunnel that is removed; the test goes as soon as it has ended (see 'journalctl -t ssh-reverse-tunnel' there)\n",
        status: 0,
      });
      expect(["a", "b"].map(linesOf)).toEqual(["one", "one"]);
      run("a", { lines: "one" });
    } finally {
      const ended = once(before, "exit");
      before.kill();
      await ended;
    }
    await vi.waitFor(() => expect(readdirSync(folder).sort()).toEqual(["a", "state"]), 30_000);
    expect(linesOf("a")).toBe("one");
    expect(readdirSync(join(folder, "state/owner"))).toEqual(["a"]);
  });
});

const unchanged = "unchanged: gate: the test\n";
