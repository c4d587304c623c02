import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { startPostgres } from "../../lab/backends/postgres.ts";
import type { BackendServer } from "../../lab/backends/server.ts";
import { findEngine } from "../../lab/engine.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, PROJECT } from "../../lab/program.ts";
import { GitHubApi } from "../support/githubApi.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const STACK = "prod";
const dropIn = `/etc/ssh/sshd_config.d/00-${PROJECT}-${STACK}.conf`;

/** Where the state is. */
type State = Pick<BackendServer, "url" | "env" | "stop">;
const backends: Record<string, (folder: string) => Promise<State>> = {
  "a folder": async (folder) => {
    await mkdir(folder);
    return { url: `file://${folder}`, env: {}, stop: () => Promise.resolve() };
  },
  PostgreSQL: () => startPostgres(),
};

let lab: Lab;

beforeAll(async () => {
  lab = await Lab.up({ name: "ci", hosts: ["gate", "nas"] });
});

afterAll(() => lab?.down());

/**
 * The steps of the workflows, in the order in which a runner takes them, in a repository of settings that has the tool in
 * .ssh-reverse-tunnel. GitHub is a server with the same API.
 */
describe.each(Object.keys(backends))("the steps of CI, with the state in %s", (backend) => {
  let api: GitHubApi;
  let folder: string;
  let state: State;
  let env: Record<string, string>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ci-"));
    api = await GitHubApi.start();
    api.add({ pull_request: {} });
    state = await backends[backend]!(join(folder, "state"));
    const engine = await findEngine();
    env = {
      ...engine.env,
      PATH: [dirname(engine.path), engine.env.PATH].join(delimiter),
      ...state.env,
      PULUMI_BACKEND_URL: state.url,
      PULUMI_ACCESS_TOKEN: "",
      PULUMI_CONFIG_PASSPHRASE: "lab",
      ...{ STACK, FOLDER: ".", LAB: "false", HAS_BACKEND: "true", HAS_TOKEN: "false" },
      RESULT: join(folder, "result"),
      GITHUB_OUTPUT: join(folder, "output"),
      GITHUB_STEP_SUMMARY: join(folder, "summary"),
      ...api.env,
      PULL_REQUEST: "1",
    };

    const settings = join(folder, "settings");
    const tool = join(settings, ".ssh-reverse-tunnel");
    await cp(join(root, "examples/settings-repository/Pulumi.yaml"), join(settings, "Pulumi.yaml"));
    for (const name of ["components", "tools", "index.ts", "main.js", "package.json"]) {
      await cp(join(root, name), join(tool, name), { recursive: true });
    }
    await symlink(join(root, "node_modules"), join(tool, "node_modules"));
    await pulumi("stack", "init", STACK);
    await writeSettings(2222);
  });

  afterAll(async () => {
    await api?.close();
    await state?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const inSettings = () => join(folder, "settings");
  const pulumi = (...args: string[]) => execa("pulumi", args, { cwd: inSettings(), env });

  /** Keeps the salt that Pulumi has put into the file. */
  async function writeSettings(remotePort: number): Promise<void> {
    const file = join(inSettings(), `Pulumi.${STACK}.yaml`);
    const [salt] = /^encryptionsalt:.*$/m.exec(await readFile(file, "utf8")) ?? [];
    const config = {
      [`${PROJECT}:drift`]: true,
      [`${PROJECT}:publicHosts`]: { gate: labAdmin(lab, lab.host("gate")) },
      [`${PROJECT}:internalHosts`]: {
        nas: { ...labAdmin(lab, lab.host("nas")), forwards: { ssh: { remotePort, target: 22 } } },
      },
    };
    await writeFile(file, `${salt}\n${stringify({ config })}`);
  }

  /** What the action does for a command; the exit status of Pulumi's own step. */
  async function run(command: string): Promise<number | undefined> {
    const script = (name: string, ...args: string[]) =>
      execa(join(inSettings(), ".ssh-reverse-tunnel/tools/ci", name), args, {
        cwd: inSettings(),
        env,
        reject: false,
      });
    await writeFile(env.GITHUB_OUTPUT!, "");
    await script("state.sh");
    expect(await readFile(env.GITHUB_OUTPUT!, "utf8")).toBe("ready=true\n");
    const { exitCode } = await script("stack.sh", command);
    const report = await script("report.sh", command);
    expect([report.exitCode, report.stderr]).toEqual([0, ""]);
    return exitCode;
  }

  const comments = () => api.issues[0]!.comments.map(({ body }) => body);
  const summary = () => readFile(env.GITHUB_STEP_SUMMARY!, "utf8");

  it("say on the pull request what would be created, and change nothing", async () => {
    expect(await run("preview")).toBe(0);
    expect(comments()).toHaveLength(1);
    expect(comments()[0]).toMatch(
      /^<!-- ssh-reverse-tunnel preview prod -->\n### prod: preview: \d+ to create\n/,
    );
    expect(comments()[0]).toMatch(/^gate: create gate-.*nas-on\.gate-admit/m);
    expect(comments()[0]).toMatch(/^nas: create nas-.*nas-start/m);
    await expect(lab.host("gate").run(`test -e ${dropIn}`)).rejects.toThrow();
  });

  it("create it, and then replace the comment: nothing is left to do", async () => {
    expect(await run("up")).toBe(0);
    expect(await summary()).toMatch(/^### prod: \d+ created$/m);
    expect(await run("preview")).toBe(0);
    expect(comments()).toHaveLength(1);
    expect(comments()[0]).toMatch(/### prod: preview: \d+ unchanged\n/);
  });

  it("open an issue when somebody has changed a host, and close it after the repair", async () => {
    expect(await run("drift")).toBe(0);
    expect(api.issues).toHaveLength(1);

    await lab.host("gate").run(`echo '# mine' >>${dropIn}`);
    expect(await run("drift")).toBe(0);
    expect(await run("drift")).toBe(0);
    expect(api.issues.slice(1).map(({ title, state }) => [title, state])).toEqual([
      ["Drift in prod", "open"],
    ]);
    expect(api.issues[1]!.body).toContain(`gate: ${dropIn}: other content (gate-server)`);

    expect(await run("preview")).toBe(0);
    expect(comments()[0]).toContain(
      `warning: gate: gate (${lab.host("gate").address}): ${dropIn}: other content`,
    );
    expect(await run("up")).toBe(0);
    expect(await run("drift")).toBe(0);
    expect(api.issues[1]!.state).toBe("closed");
  });

  it("leave nothing on the hosts that `pulumi destroy` does not remove", async () => {
    await pulumi("destroy", "--yes", "--stack", STACK);
    await expect(lab.host("gate").run(`test -e ${dropIn}`)).rejects.toThrow();
  });

  // Nothing of the rest depends on where the state is.
  const once = it.runIf(backend === "a folder");

  once("open an issue for a stack that cannot be looked at, since its settings are wrong", async () => {
    await writeSettings(0);
    expect(await run("drift")).toBe(0);
    expect(api.issues.at(-1)!.state).toBe("open");
    expect(api.issues.at(-1)!.body).toMatch(/internalHosts\.nas\.forwards\.ssh\.remotePort/);
  });

  once("report settings that are wrong, and fail", async () => {
    await writeSettings(0);
    expect(await run("preview")).not.toBe(0);
    expect(comments()[0]).toMatch(/### prod: preview: failed/);
    expect(comments()[0]).toMatch(/internalHosts\.nas\.forwards\.ssh\.remotePort/);
    expect(await run("up")).not.toBe(0);
  });
});
