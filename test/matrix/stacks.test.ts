import { existsSync, readdirSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { findEngine } from "../../lab/engine.ts";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { PROJECT } from "../../lab/program.ts";
import { tunnelSettings } from "../lab/support/settings.ts";
import { until } from "../lab/support/until.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** As users run it: with npm, the CLI and a language host, on stacks that share a public host. The tests are a story. */
describe("npm run stacks", () => {
  let lab: Lab;
  let gate: Host;
  let folder: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    lab = await Lab.up({ name: "stacks", hosts: ["gate", "nas1", "nas2"] });
    gate = lab.host("gate");
    folder = await mkdtemp(join(tmpdir(), "stacks-"));
    await mkdir(join(folder, "state"));
    const engine = await findEngine();
    env = {
      ...engine.env,
      PATH: `${dirname(engine.path)}:${engine.env["PATH"]}`,
      PULUMI_BACKEND_URL: pathToFileURL(join(folder, "state")).href,
      PULUMI_CONFIG_PASSPHRASE: "lab",
    };
    const project = await readFile(join(repository, "Pulumi.yaml"), "utf8");
    const main = relative(folder, join(repository, "main.js"));
    await writeFile(join(folder, "Pulumi.yaml"), project.replace("main: main.js", `main: ${main}`));
    await settings("site-1", lab.host("nas1"), 2221, { drift: true });
    await settings("site-2", lab.host("nas2"), 2222);
    await settings("site-3", lab.host("nas2"), 2223, {}, { port: 2 });
  });

  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    await lab?.down();
  });

  /** Writes a stack's settings, and keeps the line that Pulumi has added. */
  async function settings(
    stack: string,
    nas: Host,
    remotePort: number,
    more = {},
    admin = {},
  ): Promise<void> {
    const file = join(folder, `Pulumi.${stack}.yaml`);
    const [salt = ""] = existsSync(file)
      ? (/^encryptionsalt: .*\n/m.exec(await readFile(file, "utf8")) ?? [])
      : [];
    const forwards = { ssh: { remotePort, target: 22 } };
    const all = {
      ...tunnelSettings(lab, gate, nas, { tunnel: stack, forwards, logins: undefined }),
      ...more,
    } as { internalHosts: Record<string, { admin: object }> };
    Object.assign(all.internalHosts[stack]!.admin, admin);
    const config = Object.entries(all).map(([key, value]) => [`${PROJECT}:${key}`, value]);
    await writeFile(file, salt + stringify({ config: Object.fromEntries(config) as unknown }));
  }

  const pulumi = async (...args: string[]) =>
    (await execa("pulumi", args, { cwd: folder, env, stdin: "ignore", all: true, reject: false })).all;

  /** Starts it in a process group of its own, as a shell does. */
  const start = (...args: string[]) =>
    execa("npm", ["run", "--silent", "stacks", "--", "-C", folder, ...args], {
      cwd: repository,
      env,
      stdin: "ignore",
      reject: false,
      detached: true,
    });
  const run = async (...args: string[]) => {
    const { stdout, stderr, exitCode } = await start(...args);
    return { stdout: stdout.replaceAll(/\d+ s$/gm, "N s"), stderr, exitCode };
  };
  const listens = async (port: number) =>
    (await gate.run(`ss -Hltn 'sport = :${port}'`)).stdout.includes(`127.0.0.1:${port}`);

  it("creates and applies several at a time, continues after a failure, and says how to go on", async () => {
    const { stdout, exitCode } = await run("up", "--yes", "--parallel", "3", "site-*", "site-1");
    const address = lab.host("nas2").address;
    const sentence = `site-3 (${address}) cannot be reached on port 2; check that it is on`;
    expect(stdout).toMatch(/^site-1: created$/m);
    expect(stdout).toMatch(/^site-1: up: \d+ created, N s$/m);
    expect(stdout).toMatch(/^site-2: up: \d+ created, N s$/m);
    expect(stdout).toContain(`site-3: up: failed: ${sentence}`);
    expect(stdout).toContain(`\nup of 3 stacks: 2 ok, 1 failed\n  site-3 failed: ${sentence}`);
    expect(stdout).toMatch(/\ngo on with: npm run stacks -- up --yes site-3$/);
    expect(exitCode).toBe(2);
    expect(await listens(2221)).toBe(true);
    expect(await listens(2222)).toBe(true);
    expect(await pulumi("stack", "--show-name")).toContain("no stack selected");
  });

  it("previews them in a few lines each, and finds that one is not as its settings say", async () => {
    await settings("site-2", lab.host("nas2"), 2322);
    const { stdout, exitCode } = await run("preview", "--expect-no-changes", "site-1", "site-2");
    expect(stdout).toMatch(/^site-1: preview: \d+ unchanged, N s$/m);
    expect(stdout).toMatch(/^site-2: preview: \d+ to update, \d+ unchanged, N s\n {4}~ site-2-/m);
    expect(stdout).toMatch(/\npreview of 2 stacks: 1 ok, 1 differs$/);
    expect(exitCode).toBe(1);
  });

  it("shows whether all tunnels are up, and what somebody changed by hand", async () => {
    const status = await until("all tunnels being up", 90, async () => {
      const result = await run("status", "site-1", "site-2");
      return result.exitCode === 0 && result;
    });
    expect(status.stdout).toMatch(/^site-2: status: all tunnels are up, N s$/m);
    const nas1 = lab.host("nas1");
    const unit = "/etc/systemd/system/ssh-tunnel-site-1.service";
    await nas1.run(`chmod 666 ${unit}`);
    const { stdout, exitCode } = await run("drift", "site-1", "site-2");
    expect(stdout).toMatch(/^site-1: drift: 1 thing changed by hand, N s\n {4}site-1 .*666 instead of 644/m);
    expect(stdout).toMatch(/^site-2: drift: failed: the hosts of this stack have noted nothing/m);
    expect(exitCode).toBe(2);
    await nas1.run(`chmod 644 ${unit}`);
    const json = await run("drift", "--json", "site-1");
    expect(JSON.parse(json.stdout)).toMatchObject({
      operation: "drift",
      stacks: [{ stack: "site-1", outcome: "ok", hosts: [{ host: "gate" }, { host: "site-1", drift: [] }] }],
    });
  });

  it("leaves a stack to whoever has locked it, and after Ctrl-C begins no other and ends cleanly", async () => {
    const nas2 = lab.host("nas2");
    // The up of site-2 waits for it.
    await nas2.run("nft -f -", {
      input:
        "table inet closed { chain in { type filter hook input priority 0; tcp dport 22 ct state new drop; }; }\n",
    });
    const first = start("up", "--yes", "--parallel", "1", "site-2", "site-3");
    const locks = join(folder, "state/.pulumi/locks/organization", PROJECT, "site-2");
    const locked = () => existsSync(locks) && readdirSync(locks).length > 0;
    const dials = ["-Htn", "state", "syn-sent", "dst", nas2.address];
    await until("a dial to nas2", 60, async () => locked() && (await exec("ss", dials)).stdout !== "");

    await settings("site-1", lab.host("nas1"), 2321, { drift: true });
    const second = await run("up", "--yes", "site-*2", "site-1");
    expect(second.stdout).toMatch(/^site-1: up: .*\d+ updated/m);
    expect(second.stdout).toMatch(
      /^ {2}site-2 failed: another run has locked it \(.*\(pid \d+\) at .*\); wait until that has ended or, if it died, run 'pulumi cancel --stack site-2'$/m,
    );
    expect(second.exitCode).toBe(2);
    expect(await listens(2321)).toBe(true);

    process.kill(-first.pid!, "SIGINT");
    const { stdout, failed } = await first;
    expect(stdout).toContain("no other stack begins, and those that are running end");
    expect(stdout).not.toContain("ending what is running at once");
    expect(stdout).toContain("\nup of 2 stacks: 1 failed, 1 not begun\n  site-2 failed: ");
    expect(stdout).toMatch(/\ngo on with: npm run stacks -- up --yes site-2 site-3$/);
    // npm ends by the signal itself, after its child.
    expect(failed).toBe(true);
    expect(locked()).toBe(false);

    await nas2.run("nft delete table inet closed");
    const again = await run("up", "--yes", "site-2");
    expect(again.stdout).toMatch(/^up of 1 stack: 1 ok$/m);
    expect(again.exitCode).toBe(0);
    expect(await listens(2322)).toBe(true);
    expect((await run("preview", "--expect-no-changes", "site-1", "site-2")).exitCode).toBe(0);
  });
});
