import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import program from "../index.ts";
import { record } from "../tools/mocks.ts";
import { driftFrom, exitStatusOf } from "../tools/drift.ts";
import { lookFrom } from "../components/remote/look.ts";
import { setConfig, twoWays, usual } from "./support/settings.ts";
import { ended, startTool } from "./support/startTool.ts";

// The program with `drift: true`, and an ssh that answers what a host would.

let folder: string;
let path: string | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "drift-"));
  path = process.env.PATH;
});
afterEach(() => {
  process.env.PATH = path;
  setConfig({});
  rmSync(folder, { recursive: true, force: true });
});

const drifted = "drift nas-on.gate-admit\t2026-01-31\t/etc/x is missing\n";
const clean = "record gate-server\nrecord nas-on.gate-admit\nrecord nas-on.gate-settle\n";

/** What the program registers if the public host's look ends like this; the internal host has nothing yet. */
const deploy = async (answer: string, settings: object = { drift: true }) => {
  mkdirSync(join(folder, "bin"), { recursive: true });
  writeFileSync(join(folder, "gate"), answer);
  writeFileSync(
    join(folder, "bin/ssh"),
    `#!/bin/sh\nfor word; do case $word in 198.18.0.*) host=$word ;; esac; done\necho "$host" >>${folder}/logins\n/bin/cat >"${folder}/$host"\n[ "$host" = 198.18.0.2 ] || exec echo done\n. ${folder}/gate\n`,
    { mode: 0o755 },
  );
  process.env.PATH = `${join(folder, "bin")}:${path}`;
  setConfig({ ...usual(), ...settings });
  return record(() => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program())));
};
const prints = (text: string) => `printf '%b' '${text.replaceAll("\t", "\\t").replaceAll("\n", "\\n")}'`;
const stashes = (recording: Awaited<ReturnType<typeof deploy>>) =>
  Object.fromEntries(
    recording.resources
      .filter(({ type }) => type === "pulumi:index:Stash")
      .map(({ name, inputs, ignoreChanges }) => [name, { input: inputs.input, ignoreChanges }]),
  );

describe("a program that looks for drift", () => {
  test("logs in to each host once, and keeps what it has found in a resource of the host", async () => {
    const recording = await deploy(prints(`${clean}${drifted}done\n`));
    expect(readFileSync(join(folder, "logins"), "utf8").split("\n").sort()).toEqual([
      "",
      "198.18.0.2",
      "198.18.0.3",
    ]);
    const value = expect.stringMatching(/^[0-9a-f]{16}$/) as string;
    expect(stashes(recording)).toEqual({
      "gate-drift": {
        input: { "nas-on.gate-admit": value },
        ignoreChanges: ['input["gate-server"]', 'input["nas-on.gate-settle"]', 'input["gate-tools-script"]'],
      },
      "nas-drift": { input: {}, ignoreChanges: ["input"] },
    });
  });

  test("changes nothing where it finds nothing, not even for a record that is gone since its drift was repaired", async () => {
    const recording = await deploy(prints(`${clean}done\n`));
    expect(stashes(recording)["gate-drift"]).toEqual({ input: {}, ignoreChanges: ["input"] });
  });

  test("runs the commands again on whose record something differs, and no other because of that", async () => {
    const before = await deploy(prints(`${clean}done\n`));
    const after = await deploy(prints(`${clean}${drifted}done\n`));
    const stdin = (recording: typeof before) =>
      new Map(recording.commands.map(({ name, inputs }) => [name, inputs.stdin]));
    const [old, now] = [stdin(before), stdin(after)];
    expect([...now].filter(([name, text]) => old.get(name) !== text).map(([name]) => name)).toEqual([
      "nas-on.gate-admit",
    ]);
    expect(before.command("nas-on.gate-admit").header.DRIFT).toBe("");
    expect(after.command("nas-on.gate-admit").header.DRIFT).toMatch(/^[0-9a-f]{16}$/);
  });

  test("plans everything on a host again whose tools are missing, first of all these", async () => {
    const recording = await deploy(prints(`${clean}no tools\ndone\n`));
    const { input } = stashes(recording)["gate-drift"]! as { input: object };
    expect(Object.keys(input).sort()).toEqual([
      "gate-server",
      "gate-tools-script",
      "nas-on.gate-admit",
      "nas-on.gate-settle",
    ]);
    expect(recording.command("gate-tools-script").header.DRIFT).not.toBe("");
  });

  test.each([
    ["does not answer", "echo 'no route' >&2; exit 255"],
    ["is being changed", "echo busy"],
  ])("changes nothing for a host that %s", async (_what, answer) => {
    const recording = await deploy(answer);
    expect(stashes(recording)["gate-drift"]).toEqual({ input: {}, ignoreChanges: ["input"] });
  });

  test("logs in to no host without the setting, and has no resource and no value for it", async () => {
    const recording = await deploy("exit 1", {});
    expect(() => readFileSync(join(folder, "logins"))).toThrow("ENOENT");
    expect(stashes(recording)).toEqual({});
    expect(recording.commands.filter(({ header }) => "DRIFT" in header)).toEqual([]);
  });

  test("sends no secret and nothing of the settings, only what reads the host's own tools", async () => {
    await deploy(prints("done\n"));
    const sent = readFileSync(join(folder, "198.18.0.2"), "utf8");
    expect(sent).toMatch(/^HOST='gate'\nOWNER='ssh-reverse-tunnel-dev'\nSTACK_ID=''\n/);
    expect(sent.length).toBeLessThan(3000);
  });
});

describe("npm run drift", () => {
  const of = (stdout: string, stderr = "", code = 0) =>
    driftFrom("gate", lookFrom("gate (198.18.0.2)", { code, stdout, stderr }));

  test("has what differs with its record, and says by its exit status whether anything does", () => {
    const [same, differs] = [of(`${clean}done\n`), of(`${clean}${drifted}done\n`)];
    expect(same).toEqual({ host: "gate", error: null, drift: [] });
    expect(differs).toEqual({
      host: "gate",
      error: null,
      drift: [{ what: "/etc/x is missing", record: "nas-on.gate-admit" }],
    });
    const lost = of("", "no route", 255);
    expect(lost).toEqual({ host: "gate", error: "cannot be reached: no route", drift: [] });
    const partly = of(`${clean}done\n`, "error: gate: /etc/x cannot be read\n");
    expect([[same], [same, differs], [differs, lost], [partly]].map(exitStatusOf)).toEqual([0, 1, 2, 2]);
    expect(of("no tools\ndone\n").drift).toEqual([
      { what: "the tools of this project are missing or changed", record: null },
    ]);
  });

  /** Its end for a stack with these settings, if each host answers like this. */
  const run = (ssh: string, settings: Record<string, unknown>, ...args: string[]) => {
    mkdirSync(join(folder, "tmp"));
    const all = Object.entries(settings).map(([key, value]) => [`ssh-reverse-tunnel:${key}`, value] as const);
    return ended(startTool(folder, ["drift", ...args], Object.fromEntries(all), { ssh }));
  };
  /** A public host without a tunnel has things of ours, too. */
  const withUnused = () => {
    const settings = usual();
    const unused = { ...settings.publicHosts.gate, address: "198.18.0.9" };
    const { nas } = settings.internalHosts;
    return {
      publicHosts: { ...settings.publicHosts, unused },
      internalHosts: { nas: { ...nas, publicHost: "gate" } },
      drift: true,
    };
  };

  test.each<[string, string, number, string]>([
    ["nothing differs", "echo done", 0, "nothing differs\n"],
    [
      "something does",
      `case "$*" in *198.18.0.9*) ${prints("drift unused-server\t2026-01-31\t/etc/x is missing\ndone\n")} ;; *) echo done ;; esac`,
      1,
      "unused (198.18.0.9): /etc/x is missing (unused-server)\n",
    ],
    [
      "a host does not answer",
      'case "$*" in *198.18.0.3*) echo no route >&2; exit 255 ;; *) echo done ;; esac',
      2,
      "nas (198.18.0.3) cannot be reached: no route; its drift is unknown, and what is planned for it stays as it is\n",
    ],
  ])(
    "asks every host that a preview looks at, and ends accordingly if %s",
    async (_what, ssh, code, stdout) => {
      expect(await run(ssh, withUnused())).toEqual({ code, stdout, stderr: "" });
    },
  );

  test("says what to do if the stack does not look for drift", async () => {
    expect(await run("echo done", usual())).toEqual({
      code: 2,
      stdout: "",
      stderr:
        "drift: the hosts of this stack have noted nothing to compare with: run 'pulumi config set ssh-reverse-tunnel:drift true' and 'pulumi up' first\n",
    });
  });

  test("prints nothing but JSON for programs, also if it has to try several ways to a host", async () => {
    mkdirSync(join(folder, "tmp"));
    const settings = { ...twoWays(), "ssh-reverse-tunnel:drift": true };
    const { code, stdout } = await ended(
      startTool(folder, ["drift", "--json"], settings, { ssh: "echo done" }),
    );
    const hosts = ["gate", "other", "nas"].map((host) => ({ host, error: null, drift: [] }));
    expect([code, JSON.parse(stdout)]).toEqual([0, { hosts }]);
  });
});
