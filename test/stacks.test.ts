import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { chooseStacks, stacksIn } from "../tools/stacks/choose.ts";
import type { StackResult } from "../tools/stacks/result.ts";
import { changesInLines, changesInWords, exitStatusOf, linesOf, summaryOf } from "../tools/stacks/result.ts";
import { taskOf } from "../tools/stacks/task.ts";

let folder: string;
beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "stacks "))));
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("the stacks that npm run stacks takes", () => {
  const all = ["dev", "prod", "site-1", "site-2", "site-10"];

  test("are those with a settings file in the folder, in the order of their numbers", () => {
    for (const name of [...all].reverse()) writeFileSync(join(folder, `Pulumi.${name}.yaml`), "");
    writeFileSync(join(folder, "Pulumi.yaml"), "");
    writeFileSync(join(folder, "Pulumi.old.yaml.bak"), "");
    expect(stacksIn(folder)).toEqual(all);
  });

  test.each<[string[], string[]]>([
    [["*"], all],
    [["site-1"], ["site-1"]],
    [
      ["site-?", "prod"],
      ["prod", "site-1", "site-2"],
    ],
    [["{dev,prod}"], ["dev", "prod"]],
    [
      ["site-*", "site-2", "*-10"],
      ["site-1", "site-2", "site-10"],
    ],
  ])("are, for %j, %j, each once", (patterns, chosen) => {
    expect(chooseStacks(all, patterns)).toEqual(chosen);
  });

  test.each(["site", "Site-1", "#", "!dev"])("are refused if none is called '%s'", (pattern) => {
    expect(() => chooseStacks(all, ["dev", pattern])).toThrow(
      `no stack is called ${pattern}; a stack needs its settings in Pulumi.<stack>.yaml, and there are: dev, prod, site-1, site-2, site-10`,
    );
  });
});

describe("the arguments of npm run stacks", () => {
  const project = () => {
    writeFileSync(join(folder, "Pulumi.yaml"), "name: p\nruntime: nodejs\n");
    for (const name of ["a", "b", "c"]) writeFileSync(join(folder, `Pulumi.${name}.yaml`), "");
    return folder;
  };

  test.each<[string[], string]>([
    [[], "say what to do: preview, up, drift or status; --help has more"],
    [["destroy", "*"], "say what to do: preview, up, drift or status; --help has more"],
    [["preview"], "say which stacks, by name or pattern, or '*' for all; there are: a, b, c"],
    [["preview", "x*"], "no stack is called x*; a stack needs its settings in Pulumi.<stack>.yaml"],
    [["preview", "--parallel", "0", "*"], "--parallel 0: say how many stacks at a time, 1 or more"],
    [["up", "--yes", "--expect-no-changes", "*"], "--expect-no-changes is for preview"],
    [
      ["up", "?"],
      "this would run 'pulumi up' for a, b, c, which asks nothing: look with preview, then repeat it with --yes",
    ],
    [["preview", "-C", "/", "*"], "there is no Pulumi.yaml here or above"],
  ])("are refused with a sentence, before anything runs, if they are %j", (args, sentence) => {
    expect(() => taskOf(["-C", project(), ...args])).toThrow(sentence);
  });

  test("are those of Pulumi where it has the same", () => {
    const task = { operation: "up", stacks: ["a", "b"], folder: project(), parallel: 4, json: false };
    expect(taskOf(["up", "--cwd", folder, "--yes", "[ab]"])).toMatchObject(task);
    vi.stubEnv("PULUMI_SKIP_CONFIRMATIONS", "true");
    expect(taskOf(["up", "-C", folder, "a", "b"])).toMatchObject(task);
    vi.unstubAllEnvs();
  });

  test("may ask for help, which names all operations", () => {
    expect(taskOf(["--help"])).toMatch(/preview[^]*up[^]*drift[^]*status/);
  });

  test("find the settings of stacks where Pulumi.yaml says they are", () => {
    project();
    writeFileSync(join(folder, "Pulumi.yaml"), "name: p\nruntime: nodejs\nstackConfigDir: sites\n");
    mkdirSync(join(folder, "sites"));
    writeFileSync(join(folder, "sites", "Pulumi.d.yaml"), "");
    expect(taskOf(["preview", "-C", folder, "*"])).toMatchObject({ stacks: ["d"], folder });
  });
});

describe("what npm run stacks prints", () => {
  const result = (changes: Partial<StackResult>): StackResult => ({
    ...{ stack: "site-1", outcome: "ok", text: "2 updated", seconds: 11.6, details: [] },
    ...changes,
  });

  test("is a line for each stack, and what there is to see below it", () => {
    expect(linesOf("up", result({}))).toEqual(["site-1: up: 2 updated, 12 s"]);
    expect(linesOf("up", result({ outcome: "failed", text: "gate is off" }))).toEqual([
      "site-1: up: failed: gate is off, 12 s",
    ]);
    expect(linesOf("preview", result({ text: "1 to update", details: ["~ nas-start"] }))).toEqual([
      "site-1: preview: 1 to update, 12 s",
      "    ~ nas-start",
    ]);
  });

  test("has counts of resources in the words of Pulumi", () => {
    const changes = { same: 18, update: 2, replace: 1, "create-replacement": 1, "delete-replaced": 1 };
    expect(changesInWords(changes, false)).toBe("2 updated, 1 replaced, 18 unchanged");
    expect(changesInWords({ create: 3, delete: 1 }, true)).toBe("3 to create, 1 to delete");
    expect(changesInWords({}, true)).toBe("nothing to do");
  });

  test("has the first resources of a long list, with Pulumi's signs", () => {
    const change = (op: string, name: string) => ({ op, name, type: "t" });
    const few = [change("create", "a"), change("update", "b"), change("replace", "c"), change("delete", "d")];
    expect(changesInLines(few)).toEqual(["+ a", "~ b", "+- c", "- d"]);
    expect(changesInLines(few, 3)).toEqual(["+ a", "~ b", "+- c", "and 1 more"]);
  });

  test("ends with a summary: counts, each failure again, and how to go on", () => {
    const results = [
      result({}),
      result({ stack: "site-2", outcome: "failed", text: "gate is off" }),
      result({ stack: "site-3", outcome: "not begun", text: "" }),
      result({ stack: "site-4", outcome: "not begun", text: "" }),
    ];
    expect(summaryOf("up", results, ["--yes"])).toEqual([
      "up of 4 stacks: 1 ok, 1 failed, 2 not begun",
      "  site-2 failed: gate is off",
      "  not begun: site-3, site-4",
      "go on with: npm run stacks -- up --yes site-2 site-3 site-4",
    ]);
    expect(summaryOf("status", [result({})])).toEqual(["status of 1 stack: 1 ok"]);
  });

  test.each<[number, StackResult["outcome"][]]>([
    [0, ["ok", "ok"]],
    [1, ["ok", "differs"]],
    [2, ["differs", "failed", "ok"]],
    [2, ["not begun", "ok"]],
  ])("is followed by the exit status %i for %j", (status, outcomes) => {
    expect(exitStatusOf(outcomes.map((outcome) => result({ outcome })))).toBe(status);
  });
});

/** With the Automation API, and a script in place of the CLI: what matters here are processes and signals. */
describe("npm run stacks", () => {
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
  const read = (file: string) =>
    existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : "";
  const started: ChildProcess[] = [];
  afterEach(() => {
    for (const { pid, exitCode, signalCode } of started.splice(0)) {
      if (exitCode === null && signalCode === null) process.kill(-pid!, "SIGKILL");
    }
  });

  /** Waits until these stacks, one letter each, are in a file of the fake CLI. */
  const poll = (ask: () => string) => expect.poll(ask, { timeout: 60_000 });
  const stacksOf = (file: string) => read(file).split("\n").sort().join("");

  /** Starts it in a process group of its own, as a shell does, with stacks a, b and c. */
  function start(args: string[], env: Record<string, string> = {}, settings: Record<string, string> = {}) {
    const project = join(folder, "project");
    mkdirSync(join(project, "inner"), { recursive: true });
    writeFileSync(join(project, "Pulumi.yaml"), "name: p\nruntime: nodejs\n");
    for (const name of ["a", "b", "c"])
      writeFileSync(join(project, `Pulumi.${name}.yaml`), settings[name] ?? "");
    writeFileSync(join(folder, "pulumi"), fakePulumi, { mode: 0o755 });
    const child = spawn(process.execPath, ["--import", tsx, resolve("tools/stacks.ts"), ...args], {
      cwd: join(project, "inner"),
      env: { ...process.env, PATH: `${folder}:${process.env.PATH}`, FOLDER: folder, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    started.push(child);
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (data: Buffer) => (stdout += data.toString()));
    child.stderr.on("data", (data: Buffer) => (stderr += data.toString()));
    const ended = once(child, "close").then(([code]) => ({ code: code as number | null, stdout, stderr }));
    return { child, ended, said: () => stdout, kill: (signal: string) => process.kill(-child.pid!, signal) };
  }

  test("runs a few stacks at a time, each once, continues after a failure, and says how to go on", async () => {
    const { code, stdout, stderr } = await start(["up", "--yes", "--parallel", "2", "*", "a", "[ab]"], {
      FAIL: "a",
      LOCKED: "b",
    }).ended;
    expect(stderr).toBe("");
    expect(stdout.split("\n").slice(-5)).toEqual([
      "up of 3 stacks: 1 ok, 2 failed",
      "  a failed: two mistakes: the passphrase is wrong; and more",
      "  b failed: another run has locked it (joe@ci (pid 7) at 2026-01-31T07:10:20Z); wait until that has ended or, if it died, run 'pulumi cancel --stack b'",
      "go on with: npm run stacks -- up --yes a b",
      "",
    ]);
    expect(stdout).toMatch(/^c: up: 1 updated, 2 unchanged, \d+ s$/m);
    expect(code).toBe(2);
    expect(Number(read("most"))).toBeLessThanOrEqual(2);
    expect(stacksOf("begun")).toBe("abc");
  });

  test("begins with a stack that manages a public host for others, and they wait for it", async () => {
    const site = (by: string) => `config:\n  p:publicHosts:\n    gate: { managedBy: ${by} }\n`;
    const settings = { a: site("organization/p/c"), b: site("c") };
    const { ended } = start(["up", "--yes", "*"], { HANG: "c" }, settings);
    await poll(() => read("begun")).toBe("c\n");
    writeFileSync(join(folder, "go"), "");
    expect((await ended).stdout).toMatch(/^c: up: failed: .*\n(a|b): up …\n(a|b): up …\n/m);
    expect(stacksOf("begun")).toBe("abc");
  });

  test("runs all of them although the settings of one cannot be read, as its own run says", async () => {
    const settings = { a: "config: [\n", b: `config:\n  p:publicHosts: '{"gate":{"managedBy":"c"}}'\n` };
    const { ended } = start(["up", "--yes", "*"], { HANG: "c" }, settings);
    await poll(() => stacksOf("begun")).toBe("ac");
    writeFileSync(join(folder, "go"), "");
    expect((await ended).stdout).toMatch(/^c: up: failed: .*\n(a: .*\n)*b: up …\n/m);
  });

  test("leaves the selected stack selected, and creates one that is new only in an up", async () => {
    const preview = await start(["preview", "a", "b"], { NEW: "b" }).ended;
    expect(preview.stdout).toMatch(/^b: preview: this stack has not been created: 'up' does it, \d+ s$/m);
    expect(preview.code).toBe(0);
    expect(read("calls")).not.toContain("init");
    const expected = await start(["preview", "--expect-no-changes", "b"], { NEW: "b" }).ended;
    expect(expected.code).toBe(1);
    const up = await start(["up", "--yes", "b"], { NEW: "b" }).ended;
    expect(up.stdout).toContain("b: created\n");
    expect(up.code).toBe(0);
    expect(read("calls")).toContain("stack init b --no-select --secrets-provider default");
    expect(read("calls")).not.toContain("stack select");
  });

  test("says what is missing if there is no pulumi", async () => {
    const { code, stderr } = await start(["preview", "*"], { PATH: "/nonexistent" }).ended;
    expect(stderr).toBe("stacks: there is no pulumi on the PATH; install it\n");
    expect(code).toBe(2);
  });

  test("ends the stacks as it should even if nobody reads what it prints", async () => {
    const { child, ended } = start(["up", "--yes", "a"], { HANG: "a" });
    await poll(() => read("begun")).toBe("a\n");
    child.stdout.destroy();
    child.stderr.destroy();
    writeFileSync(join(folder, "go"), "");
    expect((await ended).code).toBe(2);
  });

  test("prints JSON for programs, and the rest on standard error", async () => {
    const { code, stdout, stderr } = await start(["up", "--yes", "--json", "a", "b"], { FAIL: "b" }).ended;
    expect(JSON.parse(stdout)).toMatchObject({
      operation: "up",
      stacks: [
        { stack: "a", outcome: "ok", changes: { same: 2, update: 1 }, text: "1 updated, 2 unchanged" },
        { stack: "b", outcome: "failed", text: "two mistakes: the passphrase is wrong; and more" },
      ],
    });
    expect(stderr).toContain("up of 2 stacks: 1 ok, 1 failed\n");
    expect(code).toBe(2);
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"])(
    "begins no other stack after %s, lets those that run end, and says which were not begun",
    async (signal) => {
      const { ended, kill } = start(["up", "--yes", "--parallel", "2", "*"], { HANG: "a b" });
      await poll(() => stacksOf("begun")).toBe("ab");
      kill(signal);
      // npm passes it on to its child, which the terminal has already sent it to.
      kill(signal);
      await poll(() => stacksOf("signals")).toBe("ab");
      writeFileSync(join(folder, "go"), "");
      const { code, stdout } = await ended;
      expect(stdout).toContain("those that are running end; once more ends them at once\n");
      expect(stdout).toContain("up of 3 stacks: 2 failed, 1 not begun\n  a failed: update canceled\n");
      expect(stdout).toContain("go on with: npm run stacks -- up --yes a b c\n");
      expect(code).toBe(2);
      expect(stacksOf("signals")).toBe("ab");
    },
  );

  test("ends those that run at once when it is interrupted again", async () => {
    const { ended, kill } = start(["up", "--yes", "*"], { HANG: "a b c" });
    await poll(() => stacksOf("begun")).toBe("abc");
    kill("SIGINT");
    await poll(() => stacksOf("signals")).toBe("abc");
    // Within a second it would be the same signal. One that comes when all has ended finds nobody who handles it.
    await sleep(1100);
    kill("SIGINT");
    await poll(() => stacksOf("signals")).toBe("aabbcc");
    const { code, stdout } = await ended;
    expect(stdout).toContain("ending what is running at once\n");
    expect(code).toBe(2);
  });

  test("interrupts those that run if it is killed itself", async () => {
    const { child, ended } = start(["up", "--yes", "a", "b"], { HANG: "a b" });
    await poll(() => stacksOf("begun")).toBe("ab");
    child.kill("SIGKILL");
    await poll(() => stacksOf("signals")).toBe("ab");
    writeFileSync(join(folder, "go"), "");
    expect((await ended).stdout).toContain("2 failed");
  });
});

/** Notes what it is called with, how many run at once, and the signals that it gets. */
const fakePulumi = `#!/bin/sh
cd "$FOLDER" || exit 1
echo "$*" >>calls
case "$1 $2" in
  "version "*) echo v3.259.0 ;;
  "stack ls") for each in a b c; do [ "$each" = "\${NEW-}" ] || echo "{\\"name\\":\\"$each\\"}"; done | paste -sd , | sed 's/.*/[&]/' ;;
  "stack output") echo '{}' ;;
  "stack history") echo '[{"startTime":"2026-01-31T07:10:20Z","endTime":"2026-01-31T07:10:20Z","resourceChanges":{"same":2,"update":1}}]' ;;
  "up "* | "preview "*) ;;
  *) exit 0 ;;
esac
case $1 in up | preview) ;; *) exit 0 ;; esac
stack=$(echo "$*" | sed 's/.*--stack \\([^ ]*\\).*/\\1/')
count=0
trap 'echo "$stack" >>signals; count=$((count + 1)); [ "$count" -lt 2 ] || exit 255' INT
echo "$stack" >>begun
ln -s x "running.$stack"
now=$(ls -d running.* | wc -l)
flock most.lock sh -c '[ "$0" -le "$(cat most 2>/dev/null || echo 0)" ] || echo "$0" >most' "$now"
case " \${HANG-} " in *" $stack "*)
  while [ ! -e go ] && [ -d "$FOLDER" ]; do sleep 0.05; done
  echo "error: update canceled" >&2
  exit 255
  ;;
esac
rm "running.$stack"
[ "$stack" != "\${FAIL-}" ] || { printf 'error: two mistakes:\n  the passphrase is wrong\n  and more\n' >&2; exit 255; }
[ "$stack" != "\${LOCKED-}" ] || {
  echo "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock file with \\\`pulumi cancel\\\`." >&2
  echo "  file:///state/.pulumi/locks/x.json: created by joe@ci (pid 7) at 2026-01-31T07:10:20Z" >&2
  exit 255
}
`;
