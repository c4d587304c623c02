import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseConfig } from "../components/settings/load.ts";
import { sshCommand } from "../components/remote/sshCommand.ts";
import { exitStatusOf, hostsOf, statusOf, tableOf } from "../tools/status.ts";
import { gate, hostKey } from "./support/hosts.ts";
import { smallest, twoWays } from "./support/settings.ts";
import { ended as endOfTool, startTool } from "./support/startTool.ts";

const host = { name: "gate", connection: gate.connection, tunnels: ["nas"] };
const time = "2026-01-31T07:10:20Z";
const forward = {
  ...{ forward: "ssh", listens: "127.0.0.1:2222", leadsTo: "127.0.0.1:22", state: "up" },
  ...{ since: time, lastGood: time, reason: null, code: null },
};
const tunnel = {
  ...{ tunnel: "nas", side: "public", state: "up", checked: time, intervalSec: 30, service: null },
  keyCreated: null,
  connection: null,
  forwards: [forward],
};
const printed = (tunnels: object[]) => JSON.stringify({ host: "gate", time, tunnels });
const ended = (code: number | null, stdout = "", stderr = "") =>
  statusOf(host, "198.18.0.2", { code, stdout, stderr });

describe("the hosts that npm run status asks", () => {
  test("are those at either end of a tunnel, each for the stack's own tunnels", () => {
    const settings = smallest();
    const unused = { ...settings.publicHosts.gate, address: "198.18.0.9" };
    const all = parseConfig({
      publicHosts: { ...settings.publicHosts, unused },
      internalHosts: { nas: { ...settings.internalHosts.nas, publicHost: "gate" } },
    });
    expect(hostsOf(all).map(({ name, tunnels }) => [name, tunnels])).toEqual([
      ["gate", ["nas"]],
      ["nas", ["nas"]],
    ]);
  });

  test("are not those that are skipped, nor do others look for their tunnels", () => {
    const settings = smallest();
    const { nas } = settings.internalHosts;
    const till = { ...nas, forwards: { ssh: { remotePort: 2223, target: 22 } }, skip: true };
    const all = parseConfig({ ...settings, internalHosts: { nas, till } });
    expect(hostsOf(all).map(({ name, tunnels, skipped = false }) => [name, tunnels, skipped])).toEqual([
      ["gate", ["nas"], false],
      ["nas", ["nas"], false],
      ["till", ["till"], true],
    ]);
  });
});

describe("the answer of a host", () => {
  test("is accepted unchanged, even after the greeting of a login shell", () => {
    const { error, tunnels } = ended(0, `Welcome!\n${printed([tunnel])}\n`);
    expect(error).toBeNull();
    expect(tunnels).toEqual([tunnel]);
  });

  test.each<[string, number | null, string, string, string]>([
    ["cannot be reached", 255, "", "a\nssh: no route", "cannot be reached: ssh: no route"],
    ["is older", 127, "", "not found", "does not have ssh-tunnel-status yet: run 'pulumi up'"],
    ["is silent", null, "", "", "did not answer in 30 s"],
    ["lacks a tunnel", 2, printed([]), "", "does not have nas: run 'pulumi up'"],
    ["prints something else", 0, "hello\u001b[31m", "", "gave an unexpected answer: hello\\u001b[31m"],
    [
      "prints what a terminal would interpret",
      0,
      printed([{ ...tunnel, tunnel: "\u001b[31m" }]),
      "",
      "gave an unexpected answer",
    ],
    ["prints an unknown state", 0, printed([{ ...tunnel, state: "fine" }]), "", "gave an unexpected answer"],
  ])("is reported with a sentence if it %s", (_what, code, stdout, stderr, sentence) => {
    const status = ended(code, stdout, stderr);
    expect(status.error).toContain(sentence);
    expect(status.tunnels).toEqual([]);
    expect(exitStatusOf([status])).toBe(1);
  });

  test("is shown in one table with the others, followed by the sentences", () => {
    const down = {
      ...forward,
      forward: "web",
      state: "down",
      lastGood: null,
      reason: "gone",
      code: "no-listener",
    };
    const good = ended(1, printed([{ ...tunnel, state: "down", forwards: [forward, down] }]));
    const bad = { host: "nas", address: "198.18.0.3", error: "cannot be reached: x", tunnels: [] };
    expect(tableOf([good, bad], { now: Date.parse(time) + 90_000 }).split("\n")).toEqual([
      "HOST  TUNNEL  FORWARD  LISTENS         LEADS TO      STATE  SINCE                 LAST GOOD",
      "gate  nas     ssh      127.0.0.1:2222  127.0.0.1:22  up     2026-01-31 07:10:20Z  90 s ago",
      "gate  nas     web      127.0.0.1:2222  127.0.0.1:22  down   2026-01-31 07:10:20Z  -          gone",
      "nas (198.18.0.3) cannot be reached: x",
    ]);
    const service = { state: "active", pid: 5, connectedSince: null };
    const dated = (changes: object) =>
      tableOf([ended(0, printed([{ ...tunnel, keyCreated: time, ...changes }]))], {
        now: Date.parse(time) + 90_000,
      })
        .split("\n")
        .at(-1);
    expect(dated({})).toBe("gate: logins to nas: oldest key made 90 s ago");
    expect(dated({ side: "internal", service })).toBe(
      "gate: ssh-tunnel-nas.service is active, pid 5, key made 90 s ago",
    );
    expect(exitStatusOf([good])).toBe(1);
    expect(exitStatusOf([ended(0, printed([tunnel]))])).toBe(0);
  });

  test("includes since when a tunnel is connected or when it was last, from where, and whether it has tried since", () => {
    const known = { connectedSince: null, lastConnected: time, address: "203.0.113.7" };
    const last = (connection: object) =>
      tableOf([ended(0, printed([{ ...tunnel, connection: { ...known, ...connection } }]))], {
        now: Date.parse(time) + 90_000,
      })
        .split("\n")
        .at(-1);
    const tried = { attemptsSince: 2, lastAttempt: time };
    const never = { attemptsSince: 0, lastAttempt: null };
    const before = "gate: nas: last connected 2026-01-31 07:10:20Z from 203.0.113.7";
    expect(last({ ...never, connectedSince: time })).toBe(
      "gate: nas: connected since 2026-01-31 07:10:20Z from 203.0.113.7",
    );
    expect(last(never)).toBe(`${before}; no attempt to log in since`);
    expect(last(tried)).toBe(`${before}; 2 attempts since, the last 90 s ago`);
    expect(last({ ...tried, lastConnected: null, address: null })).toBe(
      "gate: nas: no connection is known; 2 attempts since, the last 90 s ago",
    );
  });

  test("includes that nobody can be notified, and where the errors are for that", () => {
    const failing = JSON.stringify({
      host: "gate",
      time,
      tunnels: [tunnel],
      failedNotifications: ["x-notify"],
    });
    const status = ended(0, failing);
    expect(tableOf([status]).split("\n").at(-1)).toBe(
      "gate: notifications fail; see journalctl -u x-notify there",
    );
    expect(exitStatusOf([status])).toBe(0);
  });

  test("comes above the table if that is shown again and again, and may be longer than the terminal", () => {
    const good = ended(0, printed([tunnel]));
    const bad = { host: "nas", address: "198.18.0.3", error: "cannot be reached: x", tunnels: [] };
    const [first, second] = tableOf([good, bad], { watched: true }).split("\n");
    expect(first).toBe("nas (198.18.0.3) cannot be reached: x");
    expect(second).toMatch(/^HOST {2}TUNNEL/);
  });

  test("is not a fault if the tunnel is disabled or the host is skipped, which the table shows", () => {
    const disabled = ended(0, printed([{ ...tunnel, state: "disabled", forwards: [] }]));
    const skipped = { host: "nas", address: "198.18.0.3", error: null, skipped: true, tunnels: [] };
    expect(tableOf([disabled, skipped]).split("\n")).toEqual([
      "HOST  TUNNEL  FORWARD  LISTENS  LEADS TO  STATE     SINCE  LAST GOOD",
      "gate  nas     -        -        -         disabled  -      -",
      "nas: skipped",
    ]);
    expect(exitStatusOf([disabled, skipped])).toBe(0);
  });
});

describe("the ssh that asks", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "it's a folder "))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** How ssh itself interprets a command line. */
  const understood = (args: string[]) =>
    Object.fromEntries(
      execFileSync("ssh", ["-G", ...args], { encoding: "utf8" })
        .split("\n")
        .map((line) => [line.split(" ", 1)[0]!, line.slice(line.indexOf(" ") + 1)]),
    );

  const full = {
    ...{ host: "127.0.0.1", port: 2222, user: "admin", hostKey, agentSocketPath: "/run/my agent" },
    ...{ privateKey: pulumi.secret("the key\n"), privateKeyPassword: pulumi.secret("the passphrase") },
    proxy: {
      host: "gate.example.org",
      port: 2200,
      user: "jump",
      password: pulumi.secret("the password"),
      hostKey,
    },
  };

  test("trusts only the pinned host key, and uses only that login's key", async () => {
    const { args, address } = await sshCommand(full, folder);
    expect(address).toBe("127.0.0.1");
    const told = understood(args);
    expect(told).toMatchObject({
      ...{ hostname: "127.0.0.1", port: "2222", user: "admin", hostkeyalias: "host", identitiesonly: "yes" },
      ...{ stricthostkeychecking: "true", globalknownhostsfile: "/dev/null", identityagent: "/run/my agent" },
    });
    expect(readFileSync(join(folder, "host.known_hosts"), "utf8")).toBe(`host ${hostKey}\n`);
    expect(readFileSync(join(folder, "host.key"), "utf8")).toBe("the key\n");
  });

  test("goes through the bastion, with the bastion's own login", async () => {
    const { args } = await sshCommand(full, folder);
    // The shell that ssh starts returns the same words.
    const inner = execFileSync(
      "sh",
      ["-c", `for word in ${understood(args)["proxycommand"]!}; do echo "$word"; done`],
      { encoding: "utf8" },
    );
    const words = inner.trimEnd().split("\n");
    expect(words.slice(0, 3)).toEqual(["env", `SSH_TUNNEL_LOGIN=${join(folder, "proxy")}`, "ssh"]);
    expect(words.slice(-3)).toEqual(["-W", "127.0.0.1:2222", "gate.example.org"]);
    expect(words).toEqual(expect.arrayContaining(["Port=2200", "User=jump", "StrictHostKeyChecking=yes"]));
  });

  test("has no secret on its command line or in its environment, and no other user can read one", async () => {
    const { args, env } = await sshCommand(full, folder);
    expect(JSON.stringify([args, env])).not.toMatch(/the (key|passphrase|password)/);
    for (const file of readdirSync(folder)) {
      expect(statSync(join(folder, file)).mode & 0o077, file).toBe(0);
    }
    const answer = (login: string, prompt: string) =>
      execFileSync(env["SSH_ASKPASS"]!, [prompt], {
        env: { ...env, SSH_TUNNEL_LOGIN: join(folder, login) },
        encoding: "utf8",
      });
    const keyFile = join(folder, "host.key").slice(0, 100);
    expect(answer("host", `Enter passphrase for key '${keyFile}':`)).toBe("the passphrase\n");
    expect(answer("proxy", "jump@gate.example.org's password:")).toBe("the password\n");
  });

  test("accepts any host key only if the settings say so", async () => {
    const { args } = await sshCommand({ host: "gate" }, folder);
    expect(understood(args)).toMatchObject({ stricthostkeychecking: "false", user: "root", port: "22" });
  });
});

describe("npm run status", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "status-"));
    mkdirSync(join(folder, "tmp"));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const start = (
    settings: Record<string, unknown>,
    programs: Record<string, string>,
    project?: string,
    ...args: string[]
  ) => startTool(folder, ["status", ...args], settings, programs, project);
  const endOf = async (...what: Parameters<typeof start>) => {
    const { code, stdout, stderr } = await endOfTool(start(...what));
    return { code, text: stdout + stderr };
  };
  const settingsOf = (project: string) =>
    Object.fromEntries(Object.entries(smallest()).map(([key, value]) => [`${project}:${key}`, value]));

  test("reads the settings of a project of any name, and no others", async () => {
    const others = { "acme:keys": "x", "aws:defaults": "y", "aws:region": "eu-west-1" };
    const settings = { ...others, ...settingsOf("home"), "home:other": "x" };
    const ssh = "echo no route >&2; exit 255";
    const { code, text } = await endOf(settings, { ssh }, "home");
    expect(text.split("\n").sort()).toEqual([
      "",
      "gate (198.18.0.2) cannot be reached: no route",
      "nas (198.18.0.3) cannot be reached: no route",
    ]);
    expect(code).toBe(1);
  });

  test("takes the project from Pulumi.yaml, whatever the keys of other programs are called", async () => {
    const settings: Record<string, unknown> = { ...settingsOf("acme"), ...settingsOf("home") };
    settings["acme:publicHosts"] = {};
    const { text } = await endOf(settings, { ssh: "exit 255" }, "home");
    expect(text).toContain("gate (198.18.0.2) cannot be reached");
    const { text: none } = await endOf(settingsOf("acme"), {}, "home");
    expect(none).toContain("this stack has none of the settings publicHosts and internalHosts");
  });

  test("says where else to look if the program has other settings", async () => {
    const { code, text } = await endOf({ "web-app:publicPort": 8080 }, {});
    expect(text).toBe(
      "status: this stack has none of the settings publicHosts and internalHosts, with which npm run status finds its hosts; run ssh-tunnel-status on each host\n",
    );
    expect(code).toBe(2);
  });

  test("says that there is no ssh here to ask with", async () => {
    const { code, text } = await endOf(settingsOf("ssh-reverse-tunnel"), {});
    expect(text).toContain(
      "gate (198.18.0.2) cannot be reached: there is no ssh on the PATH here; install OpenSSH's client\n",
    );
    expect(code).toBe(1);
  });

  test("prints nothing but JSON for programs, also if it has to try several ways to a host", async () => {
    const process = start(twoWays(), { ssh: "echo no route >&2; exit 255" }, undefined, "--json");
    const { stdout, stderr } = await endOfTool(process);
    expect(JSON.parse(stdout)).toMatchObject({
      hosts: [{ host: "gate" }, { host: "other" }, { host: "nas" }],
    });
    expect(stderr).toContain("nas: trying its tunnels to gate, other\n");
  });

  /** An ssh that runs what it is told here, with this ssh-tunnel-status for gate; nas never answers. */
  const watched = (state: string) => {
    const line = printed([{ ...tunnel, state, forwards: [{ ...forward, state }] }]);
    return {
      ssh: `for last; do :; done
case $* in *198.18.0.3*) exec /bin/sleep 1000 ;; esac
echo login >>"$TMPDIR/logins"
exec /bin/sh -c "$(printf %s "$last" | /bin/sed 's#PATH=/usr/local/bin#PATH=${folder}#')"`,
      "ssh-tunnel-status": `echo look >>"$TMPDIR/looks"; printf '%s\\n' '${line}'`,
      sh: `exec /bin/sh "$@"`,
      env: `exec /usr/bin/env "$@"`,
      sleep: `exec /bin/sleep "$@"`,
    };
  };
  const linesOf = (file: string) => {
    const path = join(folder, "tmp", file);
    return existsSync(path) ? readFileSync(path, "utf8").trimEnd().split("\n").length : 0;
  };

  test("shows the state again and again over one login for each host, although one hangs, until Ctrl-C ends it", async () => {
    const process = start(settingsOf("ssh-reverse-tunnel"), watched("up"), undefined, "--watch", "1");
    const end = endOfTool(process);
    await expect.poll(() => linesOf("looks"), { timeout: 60_000 }).toBeGreaterThan(2);
    process.kill("SIGINT");
    const { code, stdout, stderr } = await end;
    expect(stderr).toBe("");
    expect(linesOf("logins")).toBe(1);
    expect(stdout.match(/every 1 s; Ctrl-C ends/g)!.length).toBeGreaterThan(0);
    expect(stdout.split("\n").slice(-4)).toEqual([
      expect.stringMatching(/^HOST /),
      expect.stringMatching(/^gate +nas +ssh .* up /),
      "nas (198.18.0.3) has not answered yet",
      "",
    ]);
    expect(code).toBe(1);
    // Its keys, and what runs on the host: that ends with the connection.
    expect(readdirSync(join(folder, "tmp")).filter((name) => name.startsWith("ssh-reverse"))).toEqual([]);
    const looks = linesOf("looks");
    const left = () => spawnSync("pgrep", ["-fc", `PATH=${folder}`], { encoding: "utf8" }).stdout.trim();
    await expect.poll(left, { timeout: 30_000 }).toBe("0");
    expect(linesOf("looks")).toBeLessThanOrEqual(looks + 1);
  });

  test("ends with what the hosts have said last, and prints a line of JSON each time for programs", async () => {
    const settings = settingsOf("ssh-reverse-tunnel");
    const all = watched("up");
    all.ssh = all.ssh.replace(/^case .*$/m, "");
    const process = start(settings, all, undefined, "--json", "--watch", "1");
    const end = endOfTool(process);
    let shown = "";
    process.stdout!.on("data", (text: Buffer) => (shown += text.toString()));
    // The last of them are up.
    await expect
      .poll(() => shown, { timeout: 60_000 })
      .toMatch(/"state":"up".*"state":"up".*"state":"up".*"state":"up".*\n$/);
    process.kill("SIGINT");
    const { code, stdout } = await end;
    expect(code).toBe(0);
    const [first] = stdout.trimEnd().split("\n");
    expect(JSON.parse(first!)).toMatchObject({ hosts: [{ host: "gate" }, { host: "nas" }] });
  });

  test("does not keep what a host writes for ever without an answer", async () => {
    const ssh = `case $* in *198.18.0.2*) exec tr '\\0' x </dev/zero ;; esac; exit 255`;
    const tr = `exec /usr/bin/tr "$@"`;
    const process = start(settingsOf("ssh-reverse-tunnel"), { ssh, tr }, undefined, "--watch", "1");
    let shown = "";
    process.stdout!.on("data", (text: Buffer) => (shown += text.toString()));
    const end = endOfTool(process);
    const refused = "gate (198.18.0.2) gave an unexpected answer: more than 16 MiB of it\n";
    await expect.poll(() => shown, { timeout: 60_000 }).toContain(refused);
    process.kill("SIGINT");
    expect((await end).code).toBe(1);
  });

  test.each([["--watch", "0"], ["--watch", "1", "2"], ["5"]])(
    "does not start with arguments that it does not understand: %s %s",
    async (...args) => {
      const { code, text } = await endOf({}, {}, undefined, ...args.filter(Boolean));
      expect({ code, text }).toEqual({
        code: 2,
        text: expect.stringContaining("is not understood; see --help") as string,
      });
    },
  );

  test.each(["SIGHUP", "SIGINT", "SIGTERM"] as const)(
    "leaves no key behind if %s ends it",
    async (signal) => {
      const keys = () =>
        readdirSync(join(folder, "tmp"), { recursive: true }).filter((file) => /key$/.test(String(file)));
      const status = start(settingsOf("ssh-reverse-tunnel"), { ssh: "exec /bin/sleep 20" });
      await expect.poll(keys, { timeout: 60_000 }).not.toEqual([]);
      status.kill(signal);
      await expect.poll(keys, { timeout: 30_000 }).toEqual([]);
    },
  );
});
