import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as pulumi from "@pulumi/pulumi";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findEngine } from "../../lab/engine.ts";
import { type LabStack, openStack, StackError, type StackOptions } from "../../lab/stack.ts";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lab-engine-"));
});

afterEach(() => rm(directory, { recursive: true }));

describe("findEngine", () => {
  it("returns a Pulumi CLI of a known version, and a provider for each package that the project uses", async () => {
    const engine = await findEngine();
    const { stdout } = await execa({ env: engine.env })`${engine.path} version`;
    expect(stdout).toBe(`v${engine.version}`);
    expect(engine.providers.map(({ name, version }) => `${name} ${version}`)).toEqual([
      "command 1.2.1",
      "random 4.21.2",
    ]);
  });

  it("uses a PULUMI_HOME of the lab's own", async () => {
    const engine = await findEngine();
    expect(engine.env.PULUMI_HOME).toBe(engine.home);
    expect(engine.home).toMatch(/\/ssh-reverse-tunnel\/pulumi-[\d.]+\/home$/);
  });
});

describe("npm run engine", () => {
  const engine = (args: string[], env: Record<string, string> = {}) =>
    execa({ cwd: REPOSITORY, env, reject: false })`npx --no-install tsx lab/engine/cli.ts ${args}`;

  it("prints what it found, and that the stand-in providers are in use", async () => {
    const { stdout, stderr, exitCode } = await engine([], { LAB_PROVIDERS: "stand-in" });
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^pulumi {2}3\.\d+\.\d+ {2}\/.*\/pulumi {2}\(.+\)$/m);
    expect(stdout).toMatch(/^command {2}1\.2\.1 {2}\/.*\/pulumi-resource-command {2}\(stand-in\)$/m);
    expect(stderr).toContain(
      "warning: using the lab's stand-in for the command provider, because LAB_PROVIDERS=stand-in asks for it",
    );
  });

  it("prefers a provider on PATH to the stand-in, without a warning", async () => {
    const path = join(directory, "pulumi-resource-command");
    await writeFile(path, "#!/bin/sh\n");
    await chmod(path, 0o755);
    const PATH = `${directory}:${process.env.PATH ?? ""}`;
    const { stdout, stderr } = await engine([], { LAB_PROVIDERS: "auto", PATH });
    expect(stdout).toContain(`${path}  (on PATH)`);
    expect(stderr).not.toContain("stand-in for the command provider");
  });

  it("uses a provider that the user's own Pulumi has installed", async () => {
    const plugin = join(directory, "plugins", "resource-random-v4.21.2");
    await mkdir(plugin, { recursive: true });
    await writeFile(join(plugin, "pulumi-resource-random"), "#!/bin/sh\n", { mode: 0o755 });
    const env = { LAB_PROVIDERS: "auto", PULUMI_HOME: directory };
    expect((await engine([], env)).stdout).toContain(`${plugin}/pulumi-resource-random  (installed)`);
    await writeFile(`${plugin}.partial`, "");
    expect((await engine([], env)).stdout).not.toContain(plugin);
  });

  it("has a help text, and refuses unknown arguments", async () => {
    expect((await engine(["--help"])).stdout).toContain("LAB_PROVIDERS");
    const wrong = await engine(["--nonsense"]);
    expect(wrong.exitCode).toBe(1);
    expect(wrong.stderr).toContain('error: unknown argument "--nonsense": try --help');
    expect((await engine([], { LAB_PROVIDERS: "none" })).stderr).toContain(
      "it must be auto, official or stand-in",
    );
  });
});

describe("openStack", () => {
  const open = (options: Partial<StackOptions> & Pick<StackOptions, "program">): Promise<LabStack> =>
    openStack({ project: "engine", stack: "test", directory: join(directory, "stack"), ...options });

  it("passes objects in the settings to the program as structured configuration", async () => {
    const publicHosts = { home: { host: "192.0.2.1", port: 22, pinned: true, users: ["a", "b"] } };
    const stack = await open({
      config: { publicHosts, name: "x", count: 3 },
      program: () => {
        const config = new pulumi.Config();
        return Promise.resolve({
          publicHosts: config.requireObject("publicHosts"),
          name: config.require("name"),
          count: config.requireNumber("count"),
        });
      },
    });
    const { outputs, changes } = await stack.up();
    expect(outputs).toEqual({ publicHosts, name: "x", count: 3 });
    expect(changes).toEqual({ create: 1 });
  });

  it("reads a settings file, and the secrets inside its objects", async () => {
    const program = () => {
      const config = new pulumi.Config();
      const hosts = config.requireSecretObject<{ home: { password: string; port: number } }>("publicHosts");
      return Promise.resolve({ hosts, name: config.require("name") });
    };
    const first = await open({ config: { publicHosts: { home: { port: 22 } }, name: "file" }, program });
    await first.setSecret("publicHosts.home.password", "hunter2", true);
    const stackFile = join(directory, "Pulumi.test.yaml");
    const written = await readFile(join(directory, "stack", "Pulumi.test.yaml"), "utf8");
    expect(written).not.toContain("hunter2");
    await writeFile(stackFile, written);

    const second = await open({
      directory: join(directory, "second"),
      stackFile,
      config: { name: "on top" },
      program,
    });
    expect((await second.up()).outputs).toEqual({
      hosts: { home: { port: 22, password: "hunter2" } },
      name: "on top",
    });
    expect(JSON.stringify(await second.export())).not.toContain("hunter2");
  });

  it("accepts a settings file without a salt, and a new one for an existing stack", async () => {
    const stackFile = join(directory, "Pulumi.test.yaml");
    const program = () => Promise.resolve({ name: new pulumi.Config().requireSecret("name") });
    for (const name of ["first", "second"]) {
      await writeFile(stackFile, `config:\n  engine:name: ${name}\n`);
      expect((await (await open({ stackFile, program })).up()).outputs).toEqual({ name });
    }
  });

  it("changes and removes settings of an open stack", async () => {
    const stack = await open({
      config: { a: "1", b: "1" },
      program: () => Promise.resolve({ a: new pulumi.Config().get("a"), b: new pulumi.Config().get("b") }),
    });
    await stack.setConfig({ a: "2", b: undefined });
    expect((await stack.up()).outputs).toEqual({ a: "2" });
  });

  it("returns what the program logs, and nothing of the engine's own", async () => {
    const stack = await open({
      program: async () => {
        await pulumi.log.warn("mind the gap");
        await pulumi.log.info("all is well");
      },
    });
    expect((await stack.up()).diagnostics).toEqual(["warning: mind the gap", "info: all is well"]);
  });

  it("fails with the program's own error", async () => {
    const stack = await open({ program: () => Promise.reject(new Error("there is no such host")) });
    const error = await stack.up().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StackError);
    expect((error as StackError).message).toMatch(/^up of stack "test" failed:\n.*there is no such host/s);
    expect((error as StackError).message).not.toContain("CommandError");
  });

  it("fails with the CLI's own error, and nothing of its command line", async () => {
    const stack = await open({ config: { "a: b": "c" }, program: () => Promise.resolve({}) });
    const error = (await stack.up().catch((reason: unknown) => reason)) as StackError;
    expect(error.message).toContain("could not parse engine:a: b as a configuration key");
    expect(error.message).not.toContain("--non-interactive");
  });

  it("leaves nothing behind once it is removed", async () => {
    const stack = await open({ program: () => Promise.resolve({}) });
    await stack.up();
    expect((await stack.destroy()).changes).toEqual({ delete: 1 });
    await stack.remove();
    const again = await open({ program: () => Promise.resolve({}) });
    expect((await again.export()).deployment).not.toHaveProperty("resources");
  });
});
