import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// What an account that does not exist may open, below a folder that takes the place of "/".

const [account, stranger] = [61_001, 61_002];
const root = process.getuid?.() === 0;

describe.skipIf(!root).each(shells)("what keeps sshd from the keys of an account, in %s,", (_name, shell) => {
  let top: string;
  let home: string;
  let keys: string;

  beforeEach(() => {
    top = mkdtempSync(join(tmpdir(), "modes-"));
    home = join(top, "home");
    keys = join(home, ".ssh", "authorized_keys");
    for (const folder of [top, home, join(home, ".ssh")]) {
      if (folder !== top) mkdirSync(folder);
      chmodSync(folder, 0o755);
    }
    writeFileSync(keys, "");
    for (const each of [home, join(home, ".ssh"), keys]) chownSync(each, account, account);
  });

  afterEach(() => rmSync(top, { recursive: true }));

  interface Host {
    /** The account's home, and the file. */
    home?: string;
    file?: string;
    /** As sshd -T says it. */
    strictModes?: string;
    /** Whether sshd is Debian's. */
    debian?: boolean;
    /** The accounts whose group is the account's. */
    members?: string[];
  }

  const look = (host: Host = {}) => {
    const { strictModes = "yes", debian = false, members = ["alice"] } = host;
    const passwd = members.map((name) => `${name}:x:1:${account}::/:/bin/sh`).join("\\n");
    const text = `HOST=gate ACCOUNT=alice
      ${readScript("messages")}
      ${readScript("authorizedKey")}
      as() { shift && "$@"; }
      locate() { AT_PATH=$1; }
      find_account() { FOUND_IDS=${account}:${account} FOUND_HOME='${host.home ?? home}'; }
      sshd_effective() { echo 'strictmodes ${strictModes}'; }
      ask_sshd() { ${debian}; }
      getent() { case $1 in passwd) printf '${passwd}\\n' ;; *) echo 'alice:x:${account}:' ;; esac; }
      set -eu
      refuse_modes '${host.file ?? keys}'`;
    const options = { input: text, encoding: "utf8", uid: account, gid: account } as const;
    const { stderr, status } = spawnSync(shell[0]!, [...shell.slice(1), "-s"], options);
    expect(status).toBe(stderr === "" ? 0 : 3);
    return stderr;
  };

  const names = (folder: string, mode: string, owner = "UNKNOWN") =>
    expect.stringContaining(`somebody else may change ${folder} (${owner}, mode ${mode});`) as string;

  test("is nothing where only root and the account may write, whether or not the file is there", () => {
    expect(look()).toBe("");
    rmSync(keys);
    expect(look()).toBe("");
    rmSync(join(home, ".ssh"), { recursive: true });
    expect(look()).toBe("");
  });

  test("is named with its mode: a home, a folder in it or the file itself that others may write", () => {
    for (const [each, mode] of [
      [home, 0o775],
      [home, 0o757],
      [join(home, ".ssh"), 0o777],
      [keys, 0o664],
      [keys, 0o646],
    ] as const) {
      chmodSync(each, mode);
      expect(look()).toEqual(names(each, mode.toString(8)));
      expect(look({ strictModes: "no" })).toBe("");
      chmodSync(each, 0o755);
    }
  });

  test("is named with its owner: a folder of somebody else", () => {
    chownSync(join(home, ".ssh"), stranger, stranger);
    expect(look()).toEqual(names(join(home, ".ssh"), "755"));
  });

  test("is a folder above the home only for a file that is not in the home", () => {
    chmodSync(top, 0o775);
    expect(look()).toBe("");
    const file = join(top, "keys");
    writeFileSync(file, "");
    expect(look({ file })).toEqual(names(top, "775", "root"));
  });

  test("is looked for where a link leads", () => {
    const shared = join(home, "shared");
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    rmSync(keys);
    writeFileSync(join(shared, "keys"), "");
    symlinkSync("../shared/keys", keys);
    expect(look()).toEqual(names(shared, "777", "root"));
  });

  test("is a folder or a file that the account may not open, even without StrictModes", () => {
    const file = join(top, "keys", "alice");
    mkdirSync(join(top, "keys"));
    writeFileSync(file, "", { mode: 0o600 });
    const closed = (path: string, mode: string) =>
      `error: gate: sshd reads the keys of 'alice' as that account, which may not open ${path} (root, mode ${mode}); give it that permission and run 'pulumi up' again\n`;
    expect(look({ file })).toBe(closed(file, "600"));
    chmodSync(join(top, "keys"), 0o700);
    for (const strictModes of ["yes", "no"]) {
      expect(look({ file, strictModes })).toBe(closed(`${join(top, "keys")}/`, "700"));
    }
  });

  test("is not the group that the account has to itself, if sshd is Debian's", () => {
    for (const each of [home, keys]) chmodSync(each, 0o775);
    expect(look({ debian: true })).toBe("");
    expect(look({ debian: true, members: ["alice", "bob"] })).toEqual(names(keys, "775"));
    expect(look({ debian: true, members: [] })).toEqual(names(keys, "775"));
    expect(look({ debian: false })).toEqual(names(keys, "775"));
    chownSync(home, 0, stranger);
    expect(look({ debian: true })).toEqual(names(home, "775", "root"));
    chmodSync(home, 0o777);
    expect(look({ debian: true })).toEqual(names(home, "777", "root"));
  });
});
