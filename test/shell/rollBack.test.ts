import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { libraryOf, readProgram, readScript } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// What a trial keeps, and the real program of a host that restores it, in a temporary folder of this machine.

// nobody: whoever acts for an account looks up its groups.
const ALICE = 65534;

let folder: string;
let trial: string;
let home: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "roll-back-"));
  chmodSync(folder, 0o755);
  trial = join(folder, basename(folder));
  mkdirSync(trial, { mode: 0o700 });
  writeFileSync(join(trial, "roll-back"), readProgram("rollBack"));
  writeFileSync(join(trial, "undo"), `echo "$how" >${folder}/undone\n`);
  home = join(folder, "home of *");
  mkdirSync(join(home, ".ssh"), { recursive: true });
  for (const path of [home, join(home, ".ssh")]) chownSync(path, ALICE, ALICE);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Keeps earlier files of an account or of root; undefined: the file did not exist. */
const keep = (files: Record<string, string | undefined>, ids = "0:0:0") => {
  const lines = Object.entries(files).map(([file, text], index) => {
    if (text !== undefined) writeFileSync(join(trial, String(index + 1)), text, { mode: 0o640 });
    return `${index + 1}\t${ids}\t${file}\n`;
  });
  writeFileSync(join(trial, "kept"), `${lines.join("")}whole\n`);
};

/** Replaces something in the program, so that a test does not have to wait, or has its own host. */
const edit = (old: string | RegExp, by: string) => {
  const program = join(trial, "roll-back");
  const text = readFileSync(program, "utf8");
  expect(text.replace(old, by)).not.toBe(text);
  writeFileSync(program, text.replace(old, by));
};

const alices = `${ALICE}:${ALICE}`;
const GROUP = 54321;
const keptIds = `${alices}:${ALICE},${GROUP}`;
const aliceWrites = (path: string, text: string) => {
  writeFileSync(path, text);
  chownSync(path, ALICE, ALICE);
};

const root = process.getuid?.() === 0; // it acts as the account

describe.skipIf(!root).each(shells)("a rollback in %s", (_name, shell) => {
  const run = (how: string) =>
    spawnSync(shell[0]!, [...shell.slice(1), join(trial, "roll-back"), how], {
      encoding: "utf8",
      timeout: 60_000,
    });
  const rollBack = (how: string) => run(how).status;

  test("restores what was there, removes what was not, and leaves no trial", () => {
    const [changed, added] = [join(folder, "changed"), join(folder, "added")];
    for (const file of [changed, added]) writeFileSync(file, "new");
    keep({ [changed]: "old\n", [added]: undefined });
    expect(rollBack("script")).toBe(0);
    expect(readFileSync(changed, "utf8")).toBe("old\n");
    expect(existsSync(added)).toBe(false);
    expect(readFileSync(join(folder, "undone"), "utf8")).toBe("script\n");
    expect(existsSync(trial)).toBe(false);
    expect(existsSync(`${trial}.ended`)).toBe(false);
    expect(existsSync(`${trial}.taken-back`)).toBe(false);
  });

  test("notes for the next run that the time was up", () => {
    keep({});
    expect(rollBack("timer")).toBe(0);
    expect(existsSync(`${trial}.taken-back`)).toBe(true);
  });

  test("does nothing if the change was confirmed in the meantime", () => {
    expect(rollBack("timer")).toBe(0);
    expect(existsSync(join(folder, "undone"))).toBe(false);
  });

  test("keeps what it could not restore, activates nothing, and fails, so that it is tried again", () => {
    keep({ "/proc/nobody-can-write-here": "old" });
    expect(rollBack("timer")).toBe(1);
    expect(existsSync(join(trial, "1"))).toBe(true);
    expect(existsSync(join(trial, "kept"))).toBe(true);
    expect(existsSync(join(folder, "undone"))).toBe(false);
  });

  test("stays, and fails with the reason, while what it has restored cannot be activated", () => {
    const file = join(folder, "changed");
    keep({ [file]: "old\n" });
    writeFileSync(join(trial, "active"), "");
    writeFileSync(join(trial, "undo"), `[ -e ${folder}/repaired ] || not_done "sshd does not load it"\n`);
    const { status, stderr } = run("timer");
    expect(status).toBe(1);
    expect(stderr).toContain("sshd does not load it; this is tried again until it succeeds");
    expect(existsSync(join(trial, "kept"))).toBe(true);
    expect(existsSync(join(trial, "active"))).toBe(false);
    expect(existsSync(`${trial}.taken-back`)).toBe(false);
    writeFileSync(join(folder, "repaired"), "");
    expect(rollBack("timer")).toBe(0);
    expect(existsSync(trial)).toBe(false);
  });

  test("restores nothing from an incomplete trial, and leaves it to be seen", () => {
    const [changed, added] = [join(folder, "changed"), join(folder, "added")];
    for (const file of [changed, added]) writeFileSync(file, "new");
    keep({ [changed]: "old\n", [added]: undefined });
    for (const torn of ["", `1\t0:0:0\t${changed}\n`]) {
      writeFileSync(join(trial, "kept"), torn);
      const { status, stderr } = run("boot");
      expect(status).toBe(0);
      expect(stderr).toContain("is not whole, and nothing was put back");
      expect(readFileSync(changed, "utf8")).toBe("new");
      expect(existsSync(join(trial, "kept"))).toBe(true);
    }
  });

  test("restores an account's file, with its mode, in a home with a space and an asterisk", () => {
    const file = join(home, ".ssh/config");
    aliceWrites(file, "new");
    keep({ [file]: "old\n" }, keptIds);
    expect(rollBack("timer")).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("old\n");
    const { uid, mode } = statSync(file);
    expect([uid, mode & 0o7777]).toEqual([ALICE, 0o640]);
  });

  test("removes an account's link or pipe that replaced a file, without following it", () => {
    const secret = join(folder, "secret");
    writeFileSync(secret, "root's", { mode: 0o600 });
    const [link, pipe, gone] = ["link", "pipe", "gone"].map((name) => join(home, ".ssh", name)) as [
      string,
      string,
      string,
    ];
    symlinkSync(secret, link);
    symlinkSync(secret, gone);
    spawnSync("mkfifo", [pipe]);
    keep({ [link]: "old", [pipe]: "old", [gone]: undefined }, keptIds);
    expect(rollBack("timer")).toBe(0);
    for (const path of [link, pipe]) {
      expect(lstatSync(path).isFile()).toBe(true);
      expect(readFileSync(path, "utf8")).toBe("old");
    }
    expect(existsSync(gone)).toBe(false);
    expect(readFileSync(secret, "utf8")).toBe("root's");
  });

  test("refuses a folder that an account has replaced with a link", () => {
    const elsewhere = join(folder, "elsewhere");
    mkdirSync(elsewhere, { mode: 0o777 });
    chmodSync(elsewhere, 0o777);
    rmSync(join(home, ".ssh"), { recursive: true });
    symlinkSync(elsewhere, join(home, ".ssh"));
    spawnSync("chown", ["-h", alices, join(home, ".ssh")]);
    keep({ [join(home, ".ssh/config")]: "old" }, keptIds);
    const { status, stderr } = run("timer");
    expect(status).toBe(1);
    expect(stderr).toContain("/.ssh is a link");
    expect(existsSync(join(elsewhere, "config"))).toBe(false);
  });

  test("reaches a home below a folder that only a supplementary group of the account may enter", () => {
    chmodSync(folder, 0o710);
    chownSync(folder, 0, GROUP);
    const file = join(home, ".ssh/config");
    aliceWrites(file, "new");
    keep({ [file]: "old\n" }, keptIds);
    expect(run("timer")).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(file, "utf8")).toBe("old\n");
  });

  test("restores everything else if an account's file cannot be restored for a minute, and names the file", () => {
    const [gone, changed] = [join(home, "gone/config"), join(folder, "changed")];
    writeFileSync(changed, "new");
    keep({ [gone]: "old\n" }, keptIds);
    for (const attempt of [1, 2]) {
      const { status, stderr } = run("timer");
      expect([attempt, status]).toEqual([attempt, 1]);
      expect(stderr).toContain(`${gone} cannot be written by its account; this is tried again`);
      expect(existsSync(join(folder, "undone"))).toBe(false);
    }
    edit(/^patience=60$/m, "patience=0"); // the minute is over
    const { status, stderr } = run("timer");
    expect(status).toBe(0);
    expect(stderr).toContain(`taken back, but for ${gone}, which its account could not write for`);
    expect(readFileSync(join(folder, "undone"), "utf8")).toBe("timer\n");
    expect(existsSync(trial)).toBe(false);
    expect(readdirSync("/run").filter((name) => name.startsWith(basename(trial)))).toEqual([]);
  });

  test("does not mistake a full disk for an account that refuses", () => {
    const disk = join(home, "disk");
    mkdirSync(disk);
    expect(spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k,mode=777", "tmpfs", disk]).status).toBe(0);
    try {
      spawnSync("sh", ["-c", `cat /dev/zero >'${disk}/filler'`], { stdio: "ignore" });
      keep({ [join(disk, "config")]: "old\n" }, keptIds);
      edit(/^patience=60$/m, "patience=0");
      expect(run("timer")).toMatchObject({ status: 1 });
      rmSync(join(disk, "filler"));
      expect(rollBack("timer")).toBe(0);
      expect(readFileSync(join(disk, "config"), "utf8")).toBe("old\n");
    } finally {
      spawnSync("umount", [disk]);
    }
  });

  test("does not put a file into a folder that an account has made of its file", () => {
    const [file, elsewhere] = [join(home, ".ssh/config"), join(home, "elsewhere")];
    mkdirSync(elsewhere);
    symlinkSync(elsewhere, file);
    keep({ [file]: "old\n" }, keptIds);
    expect(rollBack("timer")).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("old\n");
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  /**
   * A process that holds the lock, like the run that makes the change, and writes the file all the time; prints who
   * holds it.
   */
  const lateRun = async (file: string, lockFile: string, says: (pid: number) => number) => {
    edit(/^LOCK_FILE=.*$/m, `LOCK_FILE='${lockFile}'`);
    edit("+ 10))", "+ 1))");
    keep({ [file]: "old\n" });
    writeFileSync(join(trial, "holder"), "owner\tresource\n");
    const holder = spawn(
      "sh",
      [
        "-c",
        `exec 9<>'${lockFile}'; flock 9; echo has it
         timeout 60 sh -c 'while :; do echo new >'"'${file}'"'; sleep 0.01; done'; :`,
      ],
      { stdio: ["ignore", "pipe", "ignore"] },
    );
    await once(holder.stdout, "data");
    writeFileSync(lockFile, `${says(holder.pid!)}\t1\towner\tresource\tthe change\n`);
    return holder;
  };

  test("ends the run that makes the change, with all its child processes, if it is not over in time", async () => {
    const file = join(folder, "changed");
    const holder = await lateRun(file, join(folder, "lock"), (pid) => pid);
    const { status, stderr } = run("timer");
    expect(stderr).toContain("the time for a change was up before the run that makes it had ended");
    expect(status).toBe(0);
    if (holder.exitCode === null && holder.signalCode === null) await once(holder, "exit");
    expect(holder.signalCode).toBe("SIGKILL");
    expect(readFileSync(file, "utf8")).toBe("old\n");
    // None of its processes writes any more.
    expect(spawnSync("pgrep", ["-f", file], { encoding: "utf8" }).stdout).toBe("");
  });

  test("does not end an unrelated process with the pid of such a run, which was killed", async () => {
    const other = spawn("sleep", ["60"]);
    const holder = await lateRun(join(folder, "changed"), join(folder, "lock"), () => other.pid!);
    expect(run("timer")).toMatchObject({ status: 0, stderr: "" });
    expect([other.exitCode, other.signalCode, holder.signalCode]).toEqual([null, null, null]);
    other.kill();
    spawnSync("pkill", ["-KILL", "-f", folder]);
  });

  test("restarts a service once, however often something else must be tried again", () => {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    writeFileSync(join(bin, "systemctl"), `#!/bin/sh\necho "$*" >>${folder}/calls\n`, { mode: 0o755 });
    edit(/^PATH=/m, `PATH=${bin}:`);
    writeFileSync(join(trial, "active"), "");
    writeFileSync(
      join(trial, "undo"),
      `restart_once a.service || not_done a\n[ -e ${folder}/repaired ] || not_done "it does not load"\n`,
    );
    keep({});
    const restarts = () => readFileSync(join(folder, "calls"), "utf8").match(/restart a.service/g)?.length;
    expect([rollBack("timer"), rollBack("timer"), restarts()]).toEqual([1, 1, 1]);
    // A restart before a power cut does not count after it.
    expect(rollBack("boot")).toBe(1);
    writeFileSync(join(folder, "repaired"), "");
    expect([rollBack("timer"), restarts()]).toEqual([0, 2]);
  });
});

describe.skipIf(!root).each(shells)("the additional work of a rollback, in %s,", (_name, shell) => {
  /** The undo part of a script, as in the trial's folder; programs replace those of the host. */
  const prepare = (script: string, call: string, programs: Record<string, string>) => {
    const text = [...libraryOf(script), script]
      .map(readScript)
      .join("")
      .replace(/\nmain "\$@"\n$/, "\n");
    const header = "HOST=gate OWNER=owner RESOURCE=r WHAT=w TRIAL=t TRIAL_SECONDS=60 ROLL_BACK=x\n";
    const { stdout, status } = spawnSync(shell[0]!, [...shell.slice(1), "-s"], {
      input: `${header}${text}\n${call}\n`,
      encoding: "utf8",
    });
    expect([status, stdout]).toEqual([0, expect.stringContaining("not_done")]);
    writeFileSync(join(trial, "undo"), stdout);
    const bin = join(folder, "bin");
    mkdirSync(bin, { recursive: true });
    for (const [name, body] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    }
    edit(/^PATH=/m, `PATH=${bin}:`);
    keep({});
  };
  const rollBack = () => {
    const { status, stderr } = spawnSync(shell[0]!, [...shell.slice(1), join(trial, "roll-back"), "timer"], {
      encoding: "utf8",
    });
    return { status, stderr };
  };
  const again = "; this is tried again until it succeeds\n";

  test("for sshd is tried again until systemd answers and the reload succeeds", () => {
    const says = (state: string, reload: string) => `
case $* in
  show*) ${state} ;;
  is-active*.socket) exit 1 ;;
  is-active*) ;;
  reload*) ${reload} ;;
esac`;
    const sshd = (systemctl: string) =>
      prepare("sshServer", "included() { :; }; undo_text", { systemctl, sshd: ":" });
    sshd(says("exit 1", ":"));
    expect(rollBack()).toEqual({
      status: 1,
      stderr: expect.stringContaining(`systemd does not say whether sshd runs${again}`) as string,
    });
    sshd(says("echo ActiveState=active", "exit 1"));
    expect(rollBack()).toEqual({
      status: 1,
      stderr: expect.stringContaining(`sshd does not load the old configuration${again}`) as string,
    });
    expect(existsSync(join(trial, "kept"))).toBe(true);
    sshd(says("echo ActiveState=active", `: >${folder}/reloaded`));
    expect(rollBack()).toMatchObject({ status: 0 });
    expect(existsSync(join(folder, "reloaded"))).toBe(true);
    expect(existsSync(trial)).toBe(false);
  });

  test.each([
    ["firewalld", "--running public 8080", "firewall-cmd"],
    ["ufw", "8080", "ufw"],
  ])("for %s is tried again until that has closed the port", (firewall, opening, command) => {
    const undo = (body: string) =>
      prepare(
        "firewallPorts",
        `CLOSED="\${NL}${firewall} ${opening}$NL"; undo_text ${firewall} '${opening}'`,
        {
          [command]: body,
          systemctl: ":",
        },
      );
    undo("exit 1");
    expect(rollBack()).toEqual({
      status: 1,
      stderr: `ssh-reverse-tunnel: a change that was not confirmed cannot be taken back yet: the firewall does not close the port${again}`,
    });
    undo(`echo "$*" >>${folder}/said`);
    expect(rollBack()).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "said"), "utf8")).toContain("8080");
  });
});

describe.skipIf(!root).each(shells)("the copy that a trial keeps, in %s,", (_name, shell) => {
  /** keep_files as it is sent, with places that are known here. */
  const keepFiles = (...places: string[]) => {
    const library = libraryOf("tunnelService").map(readScript).join("");
    const body = `
locate() { case $1 in "~alice/"*) AT_PATH='${home}'/\${1#*/} AT_IDS=${alices} ;; *) AT_PATH=$1 AT_IDS=0:0 ;; esac; }
set -eu
REFUSAL=
keep_files '${trial}' "$@" || { echo "refused: $REFUSAL" >&2; exit 1; }
mv '${trial}/kept.new' '${trial}/kept'
`;
    const header = "HOST=gate OWNER=owner RESOURCE=r WHAT=w TRIAL=t ROLL_BACK=x SERVICE=s\n";
    return spawnSync(shell[0]!, [...shell.slice(1), "-s", "--", ...places], {
      input: header + library + body,
      encoding: "utf8",
      timeout: 60_000,
    });
  };
  const kept = () => readFileSync(join(trial, "kept"), "utf8").split("\n");

  test("has a number, the acting account and the path for each file, and a last line that marks it as complete", () => {
    const own = join(folder, "own");
    writeFileSync(own, "root's own", { mode: 0o604 });
    aliceWrites(join(home, ".ssh/config"), "hers\n\n");
    chmodSync(join(home, ".ssh/config"), 0o4640);
    const places = [own, "~alice/.ssh/config", "~alice/.ssh/none"];
    expect(keepFiles(...places)).toMatchObject({ status: 0, stderr: "" });
    expect(keepFiles(...places, "/nowhere")).toMatchObject({ status: 0, stderr: "" });
    expect(kept()).toEqual([
      `1\t0:0:0\t${own}`,
      `2\t${alices}:${ALICE}\t${home}/.ssh/config`,
      `3\t${alices}:${ALICE}\t${home}/.ssh/none`,
      "4\t0:0:0\t/nowhere",
      "whole",
      "",
    ]);
    expect(readFileSync(join(trial, "1"), "utf8")).toBe("root's own");
    expect(readFileSync(join(trial, "2"), "utf8")).toBe("hers\n\n");
    const { uid, mode } = statSync(join(trial, "2"));
    expect([uid, mode & 0o7777]).toEqual([0, 0o640]);
    expect(existsSync(join(trial, "3"))).toBe(false);
  });

  test("never contains a file of root's that an account has linked to in place of its own", () => {
    const secret = join(folder, "secret");
    writeFileSync(secret, "root's", { mode: 0o644 });
    symlinkSync(secret, join(home, ".ssh/config"));
    expect(keepFiles("~alice/.ssh/config").stderr).toContain(
      "/.ssh/config is not a file of its account's own, but a link",
    );
    expect(existsSync(join(trial, "kept"))).toBe(false);
    rmSync(join(home, ".ssh"), { recursive: true });
    symlinkSync(folder, join(home, ".ssh"));
    spawnSync("chown", ["-h", alices, join(home, ".ssh")]);
    expect(keepFiles("~alice/.ssh/secret").stderr).toContain("or a folder above it is a link");
  });

  test("does not wait for an account's pipe or for an endless file", () => {
    spawnSync("mkfifo", ["-m", "666", join(home, ".ssh/config")]);
    expect(keepFiles("~alice/.ssh/config").stderr).toContain("is not a file of its account's own");
    const large = join(home, ".ssh/large");
    aliceWrites(large, "x".repeat(1_100_000));
    expect(keepFiles("~alice/.ssh/large").stderr).toContain("is larger than a megabyte");
  });

  test("does not contain a file that the account itself cannot read", () => {
    writeFileSync(join(home, ".ssh/config"), "root's, in her folder", { mode: 0o600 });
    expect(keepFiles("~alice/.ssh/config").status).toBe(1);
    expect(existsSync(join(trial, "kept"))).toBe(false);
  });
});
