import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runScript, shells, testScript } from "../support/shells.ts";

// The library's behavior if it cannot check or clean up: the library as it is sent, with a part of it replaced.

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
  file = join(folder, "authorized_keys");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A script that works on a file, with its own or the library's functions replaced. */
const textWith = (instead: string, state: string, FILE: string) =>
  testScript("addLine", state, { RESOURCE: "r", FILE, LINE: "line", KEY: "", MARKER: "" }).replace(
    /\nmain "\$@"\n$/,
    () => `\n${instead}\nmain "$@"\n`,
  );

describe.each(shells)("in %s", (name, shell) => {
  const run = (instead: string, verb = "apply") => {
    const { stderr, status } = runScript(shell, textWith(instead, join(folder, "state"), file), verb);
    return { stderr, status };
  };

  test.each([124, 126, 137])(
    "a test that ends with status %i is an error, and does not mean that a file is absent",
    (status) => {
      const look = `at() { return ${status}; }\napply() { ask /etc/x test -e || echo absent >&2; }`;
      expect(run(look)).toEqual({
        status: 3,
        stderr: `error: gate: whoever acts at /etc/x could not look there (status ${status}); see the lines before this one, end what blocks it, and run 'pulumi up' again\n`,
      });
    },
  );

  test("a folder whose path namei cannot list is not treated as root's", () => {
    expect(run("namei() { return 1; }")).toEqual({
      status: 3,
      stderr: `error: gate: namei(1) does not say whose folders lead to ${folder}; install util-linux and run 'pulumi up' again\n`,
    });
  });

  const way = (...lines: string[]) =>
    run(
      `namei() { printf '%s\\n' ${lines.map((line) => `'${line}'`).join(" ")}; }\napply() { find_keeper /x; printf %s "$KEEPER" >&2; }`,
    );

  test("a folder that root may not read is not treated as root's", () => {
    const { status, stderr } = way("f: /x", "drwxr-xr-x root  root  /", "           x - Permission denied");
    expect(status).toBe(3);
    expect(stderr).toContain("root may not look at a folder on the way to /x");
  });

  test("a folder that was not there is checked again, since somebody else may have created it", () => {
    const { stderr } = run(`
namei() { printf '%s\\n' "f: /x" "drwxrwxrwt root root /" "    x - No such file or directory"; }
apply() {
  find_keeper /x
  namei() { printf '%s\\n' "f: /x" "drwxrwxrwt root root /" "drwxr-xr-x nobody nogroup x"; }
  find_keeper /x
  printf %s "$KEEPER" >&2
}`);
    expect(stderr.split("\n")[0]).toMatch(/^65534:65534/);
  });

  test("an account with a number as its name is refused", () => {
    const { status, stderr } = run(`apply() { find_account 0; }`);
    expect([status, stderr]).toEqual([
      3,
      expect.stringContaining("error: gate: the account '0' has a number"),
    ]);
  });

  test.each(["lib9", "data", "x"])(
    "a folder %s that does not exist belongs to the owner of the one above",
    (folderName) => {
      const { status, stderr } = way(
        "f: /x",
        "drwxr-xr-x root  root  /",
        `           ${folderName} - No such file or directory`,
      );
      expect([status, stderr.split("\n")[0]]).toEqual([0, expect.stringMatching(/^0:0/)]);
    },
  );

  test("a first apply that fails, and whose clean-up fails too, still releases the lock", () => {
    const { status, stderr } = run(`
apply() { own line "$FILE\${TAB}line" && fail "the first"; }
undo_line() { fail "the second"; }`);
    expect(status).toBe(3);
    expect(stderr).toBe("error: gate: the first\nerror: gate: the second\n");
    expect(existsSync(join(folder, "state.lock"))).toBe(false);
  });

  // bash stores a long text for a command in a file in /tmp, and old versions a short one, too.
  test.runIf(process.getuid!() === 0 && name === "bash").each([
    ["the owner of a folder", 0, "find_keeper /srv", "cannot store what namei(1) says about the way to /srv"],
    ["whether a file exists", 4096, 'write_file "$FILE" 644 "$(printf %06000d 0)"', "could not look there"],
  ])("if /tmp is full, %s is not guessed", (_what, room, act, sentence) => {
    const elsewhere = mkdtempSync("/var/tmp/files-");
    try {
      const theirs = join(elsewhere, "file");
      writeFileSync(theirs, "theirs\n");
      const text = textWith(`apply() { if ${act}; then :; fi; }`, join(elsewhere, "state"), theirs);
      const fill = `mount -t tmpfs -o size=${4096 + room} tmpfs /tmp && head -c 4096 /dev/zero >/tmp/full`;
      const { status, stderr } = runScript(
        ["unshare", "-m", "sh", "-c", `${fill} && BASH_COMPAT=5.0 exec ${shell.join(" ")} "$@"`, "sh"],
        text,
        "apply",
      );
      expect([status, stderr]).toEqual([3, expect.stringContaining(sentence)]);
      expect(readFileSync(theirs, "utf8")).toBe("theirs\n");
      expect(existsSync(join(elsewhere, "state"))).toBe(false);
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  test.runIf(process.getuid!() === 0)("a file that its account cannot read is replaced", () => {
    chmodSync(folder, 0o755);
    const theirs = join(folder, "theirs");
    mkdirSync(theirs);
    chownSync(theirs, 65534, 65534);
    const unreadable = join(theirs, "x.conf");
    const write = `apply() { write_file ${unreadable} 600 text; }`;
    expect(run(write).status).toBe(0);
    chownSync(unreadable, 0, 0);
    chmodSync(unreadable, 0o600);
    expect(run(write)).toEqual({ status: 0, stderr: `changed: gate: wrote ${unreadable}\n` });
  });

  // As root is refused on NFS with root_squash.
  const squashed = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"];
  const runSquashed = (where: string, apply: string) => {
    const text = textWith(`apply() { ${apply}; }`, join(folder, "state"), file);
    const { status, stderr } = runScript(
      [...squashed, "sh", "-c", `cd "$1" && shift && exec ${shell.join(" ")} "$@"`, "sh", where],
      text,
      "apply",
    );
    return { status, stderr };
  };

  test.runIf(process.getuid!() === 0)("root may begin in a folder that it cannot look into", () => {
    const theirs = join(folder, "theirs");
    mkdirSync(theirs);
    chmodSync(folder, 0o755);
    // Root enters it, and may not do so again.
    const close = `chmod 700 ${theirs} && chown 65534 ${theirs} && exec ${shell.join(" ")}`;
    const text = textWith("apply() { find_records; }", join(folder, "state"), file);
    mkdirSync(join(folder, "state"), { mode: 0o700 });
    const { status, stderr } = runScript(
      [...squashed, "sh", "-c", `cd ${theirs} && ${close} "$@"`, "sh"],
      text,
      "apply",
    );
    expect(status).toBe(0);
    expect(stderr).toMatch(/unchanged: gate: the test\n$/);
  });

  test.runIf(process.getuid!() === 0)("a folder that root may not write in is not called read-only", () => {
    const theirs = join(folder, "theirs");
    mkdirSync(theirs, { mode: 0o755 });
    chownSync(theirs, 65534, 65534);
    chmodSync(folder, 0o755);
    expect(runSquashed("/", `cannot "write ${theirs}/x" ${theirs}/x`)).toEqual({
      status: 3,
      stderr: `error: gate: cannot write ${theirs}/x: root may not write in ${theirs}; allow that and run 'pulumi up' again\n`,
    });
  });

  test("entries collected for the record but never written are not undone when the apply fails", () => {
    writeFileSync(file, "line\n");
    const { status, stderr } = run(`
both() { own line "$FILE\${TAB}line" && fail "the first"; }
apply() { together both; }`);
    expect([status, stderr]).toEqual([3, "error: gate: the first\n"]);
    expect(readFileSync(file, "utf8")).toBe("line\n");
    expect(existsSync(join(folder, "state"))).toBe(false);
  });

  test("what a removal has undone before it fails is no longer on record, but the rest is", () => {
    const two = `apply() { own line "$FILE\${TAB}one" && own line "$FILE\${TAB}two"; }`;
    expect(run(two).status).toBe(0);
    const undo = `undo_line() { case $1 in *two) ;; *) fail "the first" ;; esac; }`;
    expect(run(undo, "remove")).toEqual({ status: 3, stderr: "error: gate: the first\n" });
    expect(readFileSync(join(folder, "state", "owner", "r"), "utf8")).toBe(`line\t${file}\tone\n`);
  });

  test("a record below a link is refused with the name of the link", () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o700 });
    writeFileSync(file, "theirs\n");
    symlinkSync(elsewhere, join(folder, "state"));
    expect(run("").stderr).toContain(`${join(folder, "state")} is a link, and the records`);
    expect(readFileSync(file, "utf8")).toBe("theirs\n");
  });
});
