import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  driftNames,
  libraryNames,
  readScript,
  withoutComments,
} from "../../components/remote/scriptFiles.ts";
import { lookFrom } from "../../components/remote/look.ts";
import { runScript, shells, testScript } from "../support/shells.ts";

// What an apply notes, and what a look finds: the library as it is sent, with things in a temporary folder, and programs of
// the host replaced.

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "drift-"));
  mkdirSync(join(folder, "tools/lib"), { recursive: true });
  const text = driftNames.map((name) => withoutComments(readScript(name))).join("");
  writeFileSync(join(folder, "tools/lib/drift.sh"), text);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (name: string) => join(folder, name);
const record = () => readFileSync(at("state/owner/nas-start"), "utf8").split("\n").slice(0, -1);
const notes = () => record().filter((line) => line.startsWith("noted\t"));

test("every kind of thing that the library can undo has a function that tells what there is of it", () => {
  const library = libraryNames.map(readScript).join("\n");
  const kinds = [...library.matchAll(/^kind ([a-z_]+) /gm)].map(([, kind]) => kind!);
  const undone = [...library.matchAll(/^undo_([a-z_]+)\(\)/gm)].map(([, kind]) => kind!);
  const told = [...readScript("present").matchAll(/^present_([a-z_]+)\(\)/gm)].map(([, kind]) => kind!);
  expect(kinds.length).toBeGreaterThan(20);
  expect(undone.sort()).toEqual(kinds.sort());
  expect(told.sort()).toEqual(kinds);
});

describe.each(shells)("in %s", (_name, shell) => {
  /** Runs a script whose apply is this text, with DRIFT in its header unless that is undefined. */
  const run = (
    verb: "apply" | "look",
    apply = ":",
    drift: string | null = "1",
    replaced = "",
    RESOURCE = "nas-start",
  ) => {
    const values = {
      RESOURCE,
      FILE: "",
      LINE: "",
      KEY: "",
      MARKER: "",
      ...(drift === null ? {} : { DRIFT: drift }),
    };
    const text = testScript("addLine", at("state"), values).replace(
      /\nmain "\$@"\n$/,
      () => `\ntools='${folder}/tools'\n${replaced}\napply() { ${apply}\n}\nmain "$@"\n`,
    );
    const { stdout, stderr, status } = runScript(shell, text, verb);
    return { stdout, stderr, status };
  };
  const apply = (...args: [text: string, drift?: string | null, replaced?: string, resource?: string]) => {
    const { stderr, status } = run("apply", ...args);
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining("error") as string });
    return stderr;
  };
  /** What a look finds. */
  const look = (replaced = "") => {
    const { stdout, stderr, status } = run("look", ":", null, replaced);
    expect(status, stderr).toBe(0);
    const found = lookFrom("gate", { code: status, stdout, stderr });
    expect(found.error).toBeUndefined();
    return Object.values(found.drift).flatMap(({ findings }) => findings);
  };

  const content = (file: string, text: string) => writeFileSync(at(file), text, { mode: 0o644 });

  describe("a file or folder", () => {
    const things = () => `
      make_dir ${at("dir")} 750
      write_file ${at("dir/file")} 640 hello
      add_line ${at("theirs")} 600 "our line"
      add_key ${at("keys")} 644 "options ssh-ed25519 AAAA marker" AAAA marker
      write_file ${at("pace")} 644 pace`;

    test.each<[string, () => void, string[]]>([
      ["is as it was", () => undefined, []],
      ["is gone", () => rmSync(at("dir/file")), ["dir/file is missing"]],
      ["has another byte", () => writeFileSync(at("dir/file"), "hallo\n"), ["dir/file: other content"]],
      ["has another mode", () => chmodSync(at("dir/file"), 0o644), ["dir/file: mode 644 instead of 640"]],
      ["is a folder with another mode", () => chmodSync(at("dir"), 0o755), ["dir: mode 755 instead of 750"]],
      [
        "is a folder that is gone, with what was in it",
        () => rmSync(at("dir"), { recursive: true }),
        ["dir is missing", "dir/file is missing"],
      ],
      ["lacks our line", () => content("theirs", "another\n"), ["the line 'our line' in theirs is missing"]],
      ["has a line more than ours", () => content("theirs", "another\nour line\n"), []],
      [
        "lacks the line with our key",
        () => content("keys", "ssh-rsa BBBB\n"),
        ["our line in keys is missing"],
      ],
      [
        "has our key with other options",
        () => content("keys", "ssh-rsa BBBB\nno-pty ssh-ed25519 AAAA marker\n"),
        ["our line in keys: other content"],
      ],
      [
        "of root's that we made has another mode",
        () => chmodSync(at("keys"), 0o600),
        ["keys: mode 600 instead of 644"],
      ],
    ])("that %s is found, and only that, and the next apply repairs it", (_what, change, findings) => {
      apply(things());
      expect(look()).toEqual([]);
      const before = record();
      change();
      const found = findings.map((words) =>
        words.replace(/(dir\/file|dir|theirs|keys)\b/, (name) => at(name)),
      );
      expect(look()).toEqual(found);
      expect(record()).toEqual(before); // a look changes nothing
      apply(`${things()}; keep_rights ${at("keys")} 644`, "2");
      expect(look()).toEqual([]);
      expect(record().sort()).toEqual(before.sort());
    });

    test.runIf(process.getuid!() === 0)("that belongs to somebody else is found, and given back", () => {
      apply(things());
      chownSync(at("dir/file"), 65534, 65534);
      chownSync(at("dir"), 65534, 65534);
      expect(look("find_keeper() { KEEPER=0:0; }")).toEqual([
        `${at("dir")}: owner nobody instead of root`,
        `${at("dir/file")}: owner nobody instead of root`,
      ]);
      apply(things(), "2", "find_keeper() { KEEPER=0:0; }");
      expect(statSync(at("dir/file")).uid).toBe(0);
      expect(look()).toEqual([]);
    });

    test("of which there are thousands is read as a whole, not line by line", () => {
      const script = `add_key ${at("keys")} 644 "options ssh-ed25519 AAAA marker" AAAA marker`;
      apply(script);
      content("keys", "ssh-ed25519 AAAA\n\nssh-ed25519 BBBB marker\n".repeat(2000));
      const counted = ["head", "tail"].map(
        (name) => `${name}() { echo >>${at("calls")}; command ${name} "$@"; }`,
      );
      expect(look(counted.join("\n"))).toEqual([`our line in ${at("keys")}: other content`]);
      expect(() => readFileSync(at("calls"))).toThrow("ENOENT");
    });

    test.each([
      ["a tab", "a\tb", "a?b"],
      ["a newline", "a\nb\n", "a?b"],
      ["a line separator", "a\u2028b", "a???b"],
      ["a carriage return", "a\rb", "a?b"],
    ])("that is a link now is found, also if its target has %s", (_what, target, shown) => {
      apply(things());
      rmSync(at("dir/file"));
      symlinkSync(target, at("dir/file"));
      expect(look()).toEqual([`${at("dir/file")}: link ${shown}`]);
    });

    test("that does not say what it is any more is found", () => {
      apply(things());
      expect(look(`stat() { case "$*" in *dir/file) return 1 ;; *) command stat "$@" ;; esac; }`)).toEqual([
        `${at("dir/file")}: state unknown`,
      ]);
    });

    test("whose mode alone has changed is not reported as written to what would start again", () => {
      const script = `write_file ${at("file")} 600 text; printf 'written:%s\\n' "$WRITTEN" >&2`;
      expect(apply(script)).toContain("written:yes");
      chmodSync(at("file"), 0o666);
      expect(apply(script)).toMatch(/changed: .*wrote .*\nwritten:\n/);
      expect(statSync(at("file")).mode & 0o777).toBe(0o600);
      expect(apply(script)).toMatch(/^written:\nunchanged/);
    });
  });

  test("nothing differs if there is nothing to say of all that is on record, as of rules in a firewall that is off", () => {
    const off = "is_active_firewalld() { return 1; }";
    apply("own firewalld 'x y z'", "1", off);
    expect(run("look", ":", null, off).stdout).toBe("record nas-start\nlooking\ndone\n");
  });

  test("what leads elsewhere is found, whatever the name of that has in it", () => {
    apply(`write_file ${at("file")} 600 text`);
    rmSync(at("file"));
    symlinkSync("one\nline\tand another", at("file"));
    expect(look()).toEqual([`${at("file")}: link one?line?and another`]);
  });

  test("a thing on two records is found once", () => {
    const shared = `make_dir ${at("dir")} 755`;
    apply(shared);
    apply(shared, "1", "", "nas-prepare");
    chmodSync(at("dir"), 0o700);
    expect(look()).toEqual([`${at("dir")}: mode 700 instead of 755`]);
  });

  test("nothing is noted unless the stack looks for drift, and notes go when it no longer does", () => {
    const script = `write_file ${at("file")} 600 text`;
    run("apply", script, null);
    const plain = record();
    expect(plain).toEqual([`file\t${at("file")}`]);
    apply(script);
    expect(notes()).toHaveLength(1);
    run("apply", script, null);
    expect(record()).toEqual(plain);
  });

  test("notes go with the first change of a run that fails, and stay if it changes nothing", () => {
    const script = `write_file ${at("file")} 600 text`;
    apply(script);
    const noted = record();
    expect(run("apply", `${script}; fail "no more"`).status).toBe(3);
    expect(record()).toEqual(noted);
    expect(run("apply", `write_file ${at("file")} 600 another; fail "no more"`).status).toBe(3);
    expect(readFileSync(at("file"), "utf8")).toBe("text\n");
    expect(look()).toEqual(["its last run has not noted what it left"]);
  });

  test("a record whose last run has noted nothing is found, since nobody knows what has changed", () => {
    run("apply", `write_file ${at("file")} 600 text`, null);
    expect(look()).toEqual(["its last run has not noted what it left"]);
  });

  test("the same drift after a repair has another value, and the same look has the same", () => {
    const script = `write_file ${at("file")} 600 text`;
    const value = () => {
      const { stdout, stderr } = run("look", ":", null);
      return lookFrom("gate", { code: 0, stdout, stderr }).drift["nas-start"]!.value;
    };
    apply(script);
    rmSync(at("file"));
    const first = value();
    expect(value()).toBe(first);
    apply(script, first);
    rmSync(at("file"));
    expect(value()).not.toBe(first);
  });

  test("a removal leaves neither things nor notes", () => {
    apply(`make_dir ${at("dir")} 755; write_file ${at("dir/file")} 600 text`);
    const text = testScript("addLine", at("state"), {
      RESOURCE: "nas-start",
      ...{ FILE: "", LINE: "", KEY: "", MARKER: "" },
    });
    expect(runScript(shell, text, "remove").status).toBe(0);
    expect([at("dir"), at("state")].map((path) => statSync(path, { throwIfNoEntry: false }))).toEqual([
      undefined,
      undefined,
    ]);
  });

  test("what is stale is neither noted nor looked at, and a settled record has notes", () => {
    const both = `STALE=keep; own port a; write_file ${at("new")} 600 text`;
    apply(`STALE=keep; write_file ${at("old")} 600 text`);
    apply(both);
    expect(record().some((line) => line.startsWith("stale\t"))).toBe(true);
    expect(notes().map((line) => line.split("\t").at(-1))).toEqual([at("new")]);
    rmSync(at("old"));
    expect(look()).toEqual([]);
  });

  test("a look says that a run is changing the host, and finds nothing then", () => {
    apply(`write_file ${at("file")} 600 text`);
    rmSync(at("file"));
    writeFileSync(at("state.lock"), "");
    const { stdout } = run("look", ":", null, `exec 7<>'${at("state.lock")}'\nflock 7`);
    expect(stdout).toBe("busy\n");
  });

  test("what cannot be looked at has a sentence, and everything else is looked at", () => {
    apply(
      `write_file ${at("first")} 600 text; write_file ${at("second")} 600 text; write_file ${at("third")} 600 text`,
    );
    rmSync(at("third"));
    const broken = `. '${folder}/tools/lib/drift.sh'\nsed -i 's#^present_file() {#& case $1 in *second) fail "no look at it" ;; esac;#' '${folder}/tools/lib/drift.sh'`;
    const { stdout, stderr, status } = run("look", ":", null, broken);
    const found = lookFrom("gate", { code: status, stdout, stderr });
    expect(found.drift["nas-start"]!.findings).toEqual([`${at("third")} is missing`]);
    expect(found.notes).toEqual(["gate: no look at it"]);
  });

  test("what could not be looked at when it was noted is found", () => {
    const script = `write_file ${at("first")} 600 text; write_file ${at("second")} 600 text`;
    const drift = readFileSync(at("tools/lib/drift.sh"), "utf8");
    writeFileSync(
      at("tools/lib/drift.sh"),
      drift.replace("present_file() {", '$& case $1 in *first) fail "no look at it" ;; esac;'),
    );
    expect(run("apply", script)).toMatchObject({ status: 0 });
    writeFileSync(at("tools/lib/drift.sh"), drift);
    expect(look()).toEqual([`${at("first")}: its last run could not look at what it left`]);
  });

  test.runIf(process.getuid!() === 0)(
    "an account whose processes do not answer is asked once, and everything else is looked at",
    () => {
      const files = ["a/1", "b/2", "a/3", "4"];
      mkdirSync(at("a"));
      mkdirSync(at("b"));
      chmodSync(folder, 0o755);
      apply(files.map((file) => `write_file ${at(file)} 644 text`).join("; "));
      chownSync(at("a"), 65534, 65534);
      chownSync(at("b"), 65534, 65534);
      rmSync(at("4"));
      const stopped = `timeout() { echo "$1 $2 $3" >>'${at("calls")}'; return 137; }`;
      const { stdout, stderr, status } = run("look", ":", null, stopped);
      const found = lookFrom("gate", { code: status, stdout, stderr });
      expect(found.drift["nas-start"]!.findings).toEqual([`${at("4")} is missing`]);
      expect(found.notes).toEqual(
        ["a/1", "b/2", "a/3"].map(
          (file) => expect.stringContaining(`whoever acts at ${at(file)} could not look there`) as string,
        ),
      );
      expect(readFileSync(at("calls"), "utf8")).toBe("-s KILL 5\n");
    },
  );

  test.runIf(process.getuid!() === 0)(
    "an account whose processes do not answer delays the notes only once, and its files are found later",
    () => {
      mkdirSync(at("a"));
      chownSync(at("a"), 65534, 65534);
      content("a/1", "text");
      content("a/2", "text");
      const stopped = `timeout() { echo "$1 $2 $3" >>'${at("calls")}'; return 137; }`;
      const script = `own file ${at("a/1")}; own file ${at("a/2")}`;
      expect(run("apply", script, "1", stopped).status).toBe(0);
      expect(notes()).toEqual(["a/1", "a/2"].map((file) => `noted\tunknown\tfile\t${at(file)}`));
      expect(readFileSync(at("calls"), "utf8")).toBe("-s KILL 60\n");
    },
  );

  describe("of other things", () => {
    /** Notes an entry with the first answers of the host's programs, and looks with the second. */
    const change = (entry: string, before: string, after: string) => {
      apply(`own ${entry}`, "1", before);
      const same = look(before);
      const found = look(after);
      return { same, found };
    };
    const account = (passwd: string, shadow: string) =>
      `getent() { case "$1" in passwd) ${passwd ? `echo '${passwd}'` : "return 2"} ;; shadow) ${shadow ? `echo '${shadow}'` : "return 2"} ;; esac; }\nid() { echo ssh-tunnel; }`;
    const unit = (file: string, active: string) =>
      `systemctl() { printf 'UnitFileState=${file}\\nActiveState=${active}\\n'; }\nsleep() { :; }`;
    const selinux = (type: string) => `
      selinuxenabled() { :; }
      semanage() { case "$1" in port) echo '${type} tcp 2222' ;; fcontext) echo '/srv/tools(/.*)? system_u:object_r:${type}:s0' ;; esac; }`;
    const ufw = (rule: string) =>
      `is_active_ufw() { :; }\nufw() { echo "Added user rules:"; echo "${rule}"; }`;
    const firewalld = (running: string, permanent: string) => `
      is_active_firewalld() { :; }
      read_firewalld() {
        RUNNING_ZONES="public
          ports: ${running}"
        PERMANENT_ZONES="public
          ports: ${permanent}"
      }`;
    const passwd = (more: string) => `tunnel-nas:x:999:998::${more}`;
    const shadow = (password: string) => `tunnel-nas:${password}:20000::::::`;

    test.each<[string, string, string, string, string[]]>([
      [
        "an account that is gone",
        "user tunnel-nas",
        account(passwd("/:/bin/sh"), shadow("*")),
        account("", ""),
        ["the account tunnel-nas is missing"],
      ],
      [
        "an account with another shell and home",
        "user tunnel-nas",
        account(passwd("/:/bin/sh"), shadow("*")),
        account(passwd("/home/x:/bin/bash"), shadow("*")),
        ["the account tunnel-nas: home /home/x instead of /, shell /bin/bash instead of /bin/sh"],
      ],
      [
        "an account that is locked",
        "user tunnel-nas",
        account(passwd("/:/bin/sh"), shadow("*")),
        account(passwd("/:/bin/sh"), shadow("!*")),
        ["the account tunnel-nas: password locked instead of none"],
      ],
      [
        "an account that has ended",
        "user tunnel-nas",
        account(passwd("/:/bin/sh"), "tunnel-nas:*:20000::::::"),
        account(passwd("/:/bin/sh"), "tunnel-nas:*:20000:::::1:"),
        ["the account tunnel-nas: end 1 instead of none"],
      ],
      [
        "a group that is gone",
        "group ssh-tunnel",
        "getent() { echo ssh-tunnel:x:998:; }",
        "getent() { return 2; }",
        ["the group ssh-tunnel is missing"],
      ],
      [
        "a unit that is stopped",
        "unit ssh-tunnel-nas.service",
        unit("enabled", "active"),
        unit("enabled", "inactive"),
        ["ssh-tunnel-nas.service: ActiveState inactive instead of active"],
      ],
      [
        "a unit that is disabled and has failed",
        "unit ssh-tunnel-nas.service",
        unit("enabled", "active"),
        unit("disabled", "failed"),
        [
          "ssh-tunnel-nas.service: UnitFileState disabled instead of enabled, ActiveState failed instead of active",
        ],
      ],
      [
        "a unit that waits for its next attempt",
        "unit x.service",
        unit("enabled", "active"),
        unit("enabled", "activating"),
        [],
      ],
      [
        "a service of a timer that runs now",
        "unit x.service",
        unit("static", "inactive"),
        unit("static", "active"),
        [],
      ],
      [
        "a mask that is gone",
        "mask user@999.service",
        "readlink() { echo /dev/null; }",
        "readlink() { return 1; }",
        ["the mask of user@999.service is missing"],
      ],
      [
        "a port without its SELinux type",
        'seport "2222 none"',
        selinux("ssh_port_t"),
        selinux("http_port_t"),
        ["the SELinux type of port 2222 is missing"],
      ],
      [
        "a folder without its SELinux rule",
        "secontext '/srv/tools(/.*)?'",
        selinux("bin_t"),
        selinux("usr_t"),
        ["the SELinux rule for /srv/tools(/.*)? is missing"],
      ],
      [
        "a rule that ufw lacks",
        "ufw 8080",
        ufw("ufw allow 8080/tcp comment 'ssh-reverse-tunnel'"),
        ufw("ufw allow 80/tcp"),
        ["the rule for port 8080 in ufw is missing"],
      ],
      [
        "a port that the running firewalld has closed",
        'firewalld "--running public 8080"',
        firewalld("8080/tcp", "8080/tcp"),
        firewalld("", "8080/tcp"),
        ["the rule for port 8080 in firewalld's zone public (running) is missing"],
      ],
      [
        "a port that the permanent firewalld has closed",
        'firewalld "--permanent public 8080"',
        firewalld("8080/tcp", "8080/tcp"),
        firewalld("8080/tcp", ""),
        ["the rule for port 8080 in firewalld's zone public (permanent) is missing"],
      ],
      [
        "a port in a firewalld that does not run",
        'firewalld "--permanent public 8080"',
        firewalld("8080/tcp", "8080/tcp"),
        "is_active_firewalld() { return 1; }",
        [],
      ],
    ])("%s is found", (_what, entry, before, after, findings) => {
      expect(change(entry, before, after)).toEqual({ same: [], found: findings });
    });
  });
});
