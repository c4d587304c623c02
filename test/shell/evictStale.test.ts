import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
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
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

// The real program of a host, among processes called sshd that belong to non-existent accounts.

const [account, other] = [61_001, 61_002];
const programs = ["awk", "cat", "cut", "find", "grep", "id", "pgrep", "ps", "sed", "stat", "tr", "xargs"];

let folder: string;
let count: string;
let running: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "evict-stale-"));
  chmodSync(folder, 0o755);
  for (const name of ["sshd", "sshd-session", "sshd-keygen"]) copyFileSync("/bin/sleep", join(folder, name));
  writeFileSync(join(folder, "evict-stale"), readProgram("evictStale"));
  count = join(folder, "count");
  writeFileSync(count, "");
  chmodSync(count, 0o666);
});

afterEach(async () => {
  for (const each of running) each.kill("SIGKILL");
  await Promise.all(running.map((each) => ends(each.pid!)));
  running = [];
  rmSync(folder, { recursive: true, force: true });
});

/** Starts a process of that name, and waits until it has it. */
const start = async (name: string, uid: number): Promise<number> => {
  const child = spawn(join(folder, name), ["1000"], { uid, gid: uid, stdio: "ignore" });
  running.push(child);
  const pid = child.pid!;
  await expect.poll(() => statusOf(pid, "Name")).toBe(name);
  return pid;
};

const statusOf = (pid: number, key: string) => {
  if (!existsSync(`/proc/${pid}/status`)) return "gone";
  return new RegExp(`^${key}:\\s*(\\S*)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
};

const isThere = (pid: number) => !["gone", "Z"].includes(statusOf(pid, "State") ?? "gone");

const ends = (pid: number) => expect.poll(() => isThere(pid)).toBe(false);

/** Waits until new processes have a different start time, which the kernel counts in hundredths of a second. */
const nextTick = () => {
  const before = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
  return expect
    .poll(() => Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]), { interval: 5 })
    .toBeGreaterThan(before + 0.02);
};

const root = process.getuid?.() === 0; // it starts processes of other accounts

describe.skipIf(!root).each(shells)("evict-stale in %s", (_name, shell) => {
  /** A PATH folder in which each program is counted when it starts. busybox brings its own programs. */
  const countingPath = () => {
    const bin = join(folder, "bin");
    mkdirSync(bin);
    for (const program of programs) {
      const real = shell[0] === "busybox" ? `busybox ${program}` : program;
      writeFileSync(
        join(bin, program),
        `#!/bin/sh\necho ${program} >>${count}\nPATH=$REAL_PATH\nexec ${real} "$@"\n`,
        { mode: 0o755 },
      );
    }
    return bin;
  };

  const environment = (path: string) => ({
    env: { PATH: path, REAL_PATH: process.env.PATH },
    uid: account,
    gid: account,
    encoding: "utf8" as const,
  });

  const takeOver = () => {
    const [program, ...args] = shell;
    const path = process.env.PATH!;
    return spawnSync(program!, [...args, join(folder, "evict-stale")], environment(path));
  };

  test("ends the sessions of its own account, and no other process", async () => {
    const sessions = [await start("sshd", account), await start("sshd-session", account)];
    const spared = [
      await start("sshd", other),
      await start("sshd-session", other),
      await start("sshd-keygen", account),
    ];
    const { status, stdout } = takeOver();
    expect(status).toBe(0);
    await Promise.all(sessions.map(ends));
    expect(spared.filter(isThere)).toEqual(spared);
    expect(stdout).toMatch(/^ended 2 earlier sessions of .*\n$/);
  });

  test("reports which session it ended, and nothing if there is none", async () => {
    expect(takeOver()).toMatchObject({ status: 0, stdout: "" });
    const pid = await start("sshd", account);
    expect(takeOver().stdout).toContain(`ended the earlier session (pid ${pid}) of `);
  });

  test("ends neither the session that it runs in nor one that began later", async () => {
    const earlier = await start("sshd", account);
    await nextTick();
    const [program, ...args] = shell;
    // A session in which evict-stale starts when it is told to, and which outlives that.
    const own = join(folder, "own");
    mkdirSync(own);
    symlinkSync("/bin/sh", join(own, "sshd"));
    const go = join(folder, "go");
    const script = `while ! [ -e ${go} ]; do sleep 0.02; done; ${[program, ...args].join(" ")} ${folder}/evict-stale; echo done; sleep 1000; :`;
    const session = spawn(join(own, "sshd"), ["-c", script], {
      ...environment(process.env.PATH!),
      stdio: ["ignore", "pipe", "ignore"],
    });
    running.push(session);
    await expect.poll(() => statusOf(session.pid!, "Name")).toBe("sshd");
    await nextTick();
    const later = await start("sshd", account);
    let said = "";
    session.stdout.on("data", (data: Buffer) => (said += data.toString()));
    writeFileSync(go, "");
    await expect.poll(() => said, { timeout: 10_000 }).toContain("done\n");
    expect(said).toMatch(new RegExp(`^ended the earlier session \\(pid ${earlier}\\) of .*\\ndone\\n$`));
    await ends(earlier);
    expect([session.pid!, later].filter(isThere)).toEqual([session.pid!, later]);
    // The shell's sleep is no child of ours.
    spawnSync("setpriv", ["--reuid", String(account), "--clear-groups", "sh", "-c", "kill -KILL -1"]);
  });

  /** Asks what listens, of an account whose key permits this, if it has one. */
  const listeners = (permits?: string) => {
    const bin = join(folder, "fake");
    mkdirSync(bin, { recursive: true });
    const lines = [
      "127.0.0.1:2222 uid:61001",
      "0.0.0.0:8080",
      "[::]:8080 uid:61001",
      "127.0.0.1:5432 uid:61002",
    ];
    writeFileSync(
      join(bin, "ss"),
      `#!/bin/sh\n[ "$*" = -Hltne ] && printf 'LISTEN 0 128 %s 0.0.0.0:* %s ino:1 v6only:1\\n' ${lines.flatMap((line) => [...line.split(" "), '""'].slice(0, 2)).join(" ")}\n`,
      { mode: 0o755 },
    );
    if (permits !== undefined)
      writeFileSync(join(folder, `${account}.keys`), `# a line\nrestrict,${permits} ssh-ed25519 AAAA x\n`);
    const text = readProgram("evictStale").replaceAll("/etc/ssh/ssh-reverse-tunnel", folder);
    writeFileSync(join(folder, "evict-stale"), text);
    const [program, ...args] = shell;
    const { env, ...options } = environment(`${bin}:${process.env.PATH}`);
    return spawnSync(program!, [...args, join(folder, "evict-stale")], {
      ...options,
      env: { ...env, SSH_ORIGINAL_COMMAND: "listeners" },
    }).stdout;
  };

  test("says, when it is asked to, who has the ports that the account's key permits, and of no other port, and ends nothing", async () => {
    const session = await start("sshd", account);
    const permits = `permitlisten="127.0.0.1:2222",permitlisten="*:8080",permitopen="127.0.0.1:5432"`;
    expect(listeners(permits)).toBe("listeners\n127.0.0.1 2222 -\n0.0.0.0 8080 root\n:: 8080 -\n");
    expect(listeners(`permitlisten="[2001:db8::1]:9000"`)).toBe("listeners\n");
    expect(isThere(session)).toBe(true);
  });

  test("says nothing if it cannot tell which ports the account has", () => {
    expect(listeners()).toBe("");
  });

  test("starts as many programs with three hundred processes as with few", async () => {
    const [program, ...args] = shell;
    const path = countingPath();
    const starts = () => {
      writeFileSync(count, "");
      const command = [...args, join(folder, "evict-stale")];
      const { status } = spawnSync(
        program === "sh" || program === "bash" ? `/bin/${program}` : busybox(),
        command,
        environment(path),
      );
      expect(status).toBe(0);
      return readFileSync(count, "utf8");
    };
    const few = starts();
    for (let i = 0; i < 300; i++) {
      running.push(spawn(join(folder, "sshd"), ["1000"], { uid: other, gid: other, stdio: "ignore" }));
    }
    await expect.poll(() => statusOf(running.at(-1)!.pid!, "Name")).toBe("sshd");
    expect(starts()).toBe(few);
    expect(few.split("\n").length).toBeLessThan(10);
  }, 30_000);
});

const busybox = () => spawnSync("sh", ["-c", "command -v busybox"], { encoding: "utf8" }).stdout.trim();
