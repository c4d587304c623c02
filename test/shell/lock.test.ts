import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readProgram } from "../../components/remote/scriptFiles.ts";
import { shells, testScript } from "../support/shells.ts";

// Scripts with the lock of our scripts, on a file of the test: real processes that wait for each other.

let folder: string;
let lockFile: string;
let running: ChildProcess[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
  lockFile = join(folder, "state.lock");
  running = [];
});
afterEach(() => {
  for (const { pid, exitCode, signalCode } of running) {
    if (pid && exitCode === null && signalCode === null) process.kill(-pid, "SIGKILL");
  }
  rmSync(folder, { recursive: true, force: true });
});

const soon = { timeout: 20_000, interval: 20 };
const allows = (name: string) => writeFileSync(join(folder, name), "");

describe.each(shells)("the lock in %s", { timeout: 60_000 }, (_name, shell) => {
  /** Starts a script as the resource of that name; patience is how long it waits for the same holder. */
  const start = (resource: string, { patience = 600, child = ":", confirm = "no" } = {}) => {
    const text = testScript("holdLock", join(folder, "state"), {
      ...{ RESOURCE: resource, WHAT: `the ${resource}`, FOLDER: folder, CHILD: child },
      ...{ TRIAL: "t", CONFIRM: confirm },
    }).replace("\nLOCK_PATIENCE=600\n", `\nLOCK_PATIENCE=${patience}\n`);
    const script = spawn(shell[0]!, [...shell.slice(1), "-s", "--", "apply"], { detached: true });
    running.push(script);
    const end = { said: "", status: undefined as number | null | undefined, pid: script.pid! };
    script.stderr.on("data", (data: Buffer) => (end.said += data.toString()));
    script.on("exit", (status) => (end.status = status));
    script.stdin.end(text);
    return end;
  };
  const hasIt = (resource: string) =>
    expect.poll(() => existsSync(join(folder, `started.${resource}`)), soon).toBe(true);
  const started = (...resources: string[]) =>
    resources.filter((resource) => existsSync(join(folder, `started.${resource}`)));

  test("is a file for its owner only, which names the run that has it, and is removed with the last one", async () => {
    const one = start("one");
    await hasIt("one");
    expect(statSync(lockFile).mode & 0o777).toBe(0o600);
    expect(readFileSync(lockFile, "utf8")).toMatch(
      new RegExp(`^${one.pid}\\t\\d+\\towner\\tone\\tthe one\\n$`),
    );
    allows("go-on");
    await expect.poll(() => one.status, soon).toBe(0);
    expect(readdirSync(folder).filter((name) => name.includes("lock"))).toEqual([]);
  });

  test("lets one run at a time through, however many wait, and all of them in the end", async () => {
    const names = ["a", "b", "c", "d", "e"];
    const all = names.map((name) => start(name));
    for (let left = names.length; left > 0; left--) {
      await expect.poll(() => started(...names).length, soon).toBeGreaterThan(0);
      const [holder, ...others] = started(...names);
      expect(others).toEqual([]);
      expect(readFileSync(lockFile, "utf8")).toContain(`\tthe ${holder}\n`);
      rmSync(join(folder, `started.${holder}`));
      allows(`go-on.${holder}`);
    }
    await expect.poll(() => all.map(({ status }) => status), soon).toEqual([0, 0, 0, 0, 0]);
    expect(existsSync(lockFile)).toBe(false);
  });

  test("is awaited for longer than the limit of one run if it passes from one run to another", async () => {
    const first = start("first");
    await hasIt("first");
    const patience = 4;
    const waiter = start("waiter", { patience });
    await expect.poll(() => waiter.said, soon).toContain("waits for another run");
    expect(waiter.said).toBe(
      `note: gate: the waiter waits for another run (the first, stack owner, pid ${first.pid})\n`,
    );
    // As in a queue: the holder changes often.
    const begin = Date.now();
    for (let next = 1; Date.now() - begin < (patience + 2) * 1000; next++) {
      writeFileSync(lockFile, `${first.pid}\t0\towner\t${next}\tthe ${next}\n`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(waiter.status).toBeUndefined();
    allows("go-on");
    await expect.poll(() => waiter.status, soon).toBe(0);
    expect(first.status).toBe(0);
  });

  test("is not awaited forever if the same run keeps it, and the error names that run", async () => {
    const first = start("first");
    await hasIt("first");
    const waiter = start("waiter", { patience: 1 });
    await expect.poll(() => waiter.status, soon).toBe(3);
    expect(waiter.said).toContain(
      `error: gate: another run (the first, stack owner, pid ${first.pid}) has been changing this host for 0 minutes; wait for it, or end it with 'kill ${first.pid}' there, and run 'pulumi up' again\n`,
    );
    expect(existsSync(lockFile)).toBe(true);
    expect(started("waiter")).toEqual([]);
  });

  test("is taken over at once from a run that was killed", async () => {
    const first = start("first");
    await hasIt("first");
    process.kill(-first.pid, "SIGKILL");
    await expect.poll(() => first.status, soon).toBe(null);
    expect(existsSync(lockFile)).toBe(true);
    const next = start("next");
    await hasIt("next");
    expect(next.said).toBe("");
  });

  test("is not awaited for minutes if processes of a killed run still have it, and the error names them", async () => {
    const first = start("first", { child: "exec sleep 60" });
    await hasIt("first");
    process.kill(first.pid, "SIGKILL");
    await expect.poll(() => first.status, soon).toBe(null);
    const waiter = start("waiter");
    await expect.poll(() => waiter.status, soon).toBe(3);
    expect(waiter.said).toMatch(
      /^error: gate: another run \(the first, stack owner, pid \d+\) was killed, and what it had started still runs: sleep \(pid \d+\); wait until that has ended, or end it, and run 'pulumi up' again$/m,
    );
  });

  test("is awaited with the rollback of the change on trial armed again", async () => {
    mkdirSync(join(folder, "trial"));
    for (const file of ["undo", "roll-back", "kept"]) writeFileSync(join(folder, "trial", file), "whole\n");
    start("first");
    await hasIt("first");
    const waiter = start("waiter", { confirm: "yes" });
    await expect.poll(() => waiter.said.match(/armed for 240/g)?.length, soon).toBeGreaterThan(1);
    expect(waiter.said).toMatch(/^armed for 240\n/);
  });

  test("is requested by a rollback whose time is up, which restores the old configuration without it if it must", async () => {
    const trial = join(folder, "rollback");
    const rollBack = (patience: number) => {
      mkdirSync(trial, { recursive: true });
      const program = readProgram("rollBack")
        .replace("LOCK_FILE=/run/ssh-reverse-tunnel.lock", `LOCK_FILE=${lockFile}`)
        .replace("+ 10))", `+ ${patience}))`);
      writeFileSync(join(trial, "roll-back"), program);
      writeFileSync(join(trial, "kept"), "whole\n");
      writeFileSync(join(trial, "undo"), `cat ${lockFile} >${folder}/seen\n`);
      chmodSync(trial, 0o700);
      return spawnSync(shell[0]!, [...shell.slice(1), join(trial, "roll-back"), "timer"]).status;
    };
    expect(rollBack(10)).toBe(0);
    expect(readFileSync(join(folder, "seen"), "utf8")).toMatch(/\ta rollback\n$/);
    expect(existsSync(lockFile)).toBe(false);
    start("first");
    await hasIt("first");
    expect(rollBack(1)).toBe(0);
    expect(readFileSync(join(folder, "seen"), "utf8")).toMatch(/\tthe first\n$/);
    expect(existsSync(lockFile)).toBe(true);
  });
});
