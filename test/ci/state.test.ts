import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";

const script = new URL("../../tools/ci/state.sh", import.meta.url).pathname;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "state-"));
  await writeFile(join(folder, "Pulumi.prod.yaml"), "config: {}\n");
  await writeFile(join(folder, "out"), "");
});

afterEach(() => rm(folder, { recursive: true }));

async function run(env: Record<string, string>) {
  const { stdout, exitCode } = await execa(script, {
    reject: false,
    env: {
      ...{ STACK: "prod", FOLDER: folder, LAB: "false", HAS_BACKEND: "false", HAS_TOKEN: "false" },
      ...{ GITHUB_OUTPUT: join(folder, "out"), ...env },
    },
  });
  return { stdout, exitCode, output: await readFile(join(folder, "out"), "utf8") };
}

test.each(["HAS_BACKEND", "HAS_TOKEN", "LAB"])(
  "a stack with settings and a place for its state is ready: %s",
  async (name) => {
    expect(await run({ [name]: "true" })).toEqual({ stdout: "", exitCode: 0, output: "ready=true\n" });
  },
);

test("a stack without a place for its state is passed over with a notice", async () => {
  const { stdout, exitCode, output } = await run({});
  expect([exitCode, output]).toEqual([0, ""]);
  expect(stdout).toMatch(/^::notice title=prod is not set up::/);
});

test.each([
  [
    "site-1",
    "::error::site-1 has no settings: add Pulumi.site-1.yaml beside Pulumi.yaml, or take site-1 out of the environments.",
  ],
  [
    "--yes",
    "::error::'--yes' is not the name of a stack and of an environment: letters, digits, '.', '_' and '-'.",
  ],
  [
    "a;b",
    "::error::'a;b' is not the name of a stack and of an environment: letters, digits, '.', '_' and '-'.",
  ],
  ["", "::error::'' is not the name of a stack and of an environment: letters, digits, '.', '_' and '-'."],
])("a stack %j without settings, or with a strange name, is an error", async (STACK, message) => {
  expect(await run({ STACK, HAS_BACKEND: "true" })).toEqual({ stdout: message, exitCode: 1, output: "" });
});
