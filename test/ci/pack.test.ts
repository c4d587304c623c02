import { cp, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";

let folder: string;

/** A package with this script, and with a build that makes one file. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "pack-"));
  await cp(new URL("../../tools/ci/pack.sh", import.meta.url), join(folder, "tools/ci/pack.sh"));
  // There is nothing to install.
  await mkdir(join(folder, "node_modules"));
  const scripts = { build: "echo built >built" };
  const manifest = { name: "a-package", version: "1.2.0", files: ["built"], scripts };
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest));
});

afterEach(() => rm(folder, { recursive: true }));

async function pack(tag: string, changelog: string) {
  await writeFile(join(folder, "CHANGELOG.md"), changelog);
  const result = join(folder, "result");
  const { stdout, exitCode } = await execa(join(folder, "tools/ci/pack.sh"), {
    reject: false,
    env: { TAG: tag, RESULT: result },
  });
  return { exitCode, stdout, files: await readdir(result).catch((): string[] => []) };
}

const changelog = (heading: string) =>
  `# Changelog\n\n${heading}\n\n- new\n\n## [1.1.0] - 2026-01-01\n\n- old\n`;

test("a release has the package of the tag's version, built, and that version's notes", async () => {
  const { exitCode, files } = await pack("v1.2.0", changelog("## [1.2.0] - 2026-11-30"));
  expect([exitCode, files]).toEqual([0, ["a-package-1.2.0.tgz", "notes.md"]]);
  expect(await readFile(join(folder, "result/notes.md"), "utf8")).toBe("\n- new\n\n");
  const { stdout } = await execa("tar", ["tzf", join(folder, "result/a-package-1.2.0.tgz")]);
  expect(stdout.split("\n").sort()).toEqual(["package/built", "package/package.json"]);
});

test.each([
  ["v1.2.1", "## [1.2.0] - 2026-11-30", "the tag is v1.2.1, but package.json has the version 1.2.0"],
  ["v1.2.0", "## [1.2.0] - Unreleased", "CHANGELOG.md has no section '## [1.2.0] - <date>'"],
  ["v1.2.0", "## [1.2.0-rc.1] - 2026-11-30", "CHANGELOG.md has no section '## [1.2.0] - <date>'"],
])("there is no release for the tag %s with the section %s", async (tag, heading, message) => {
  const { exitCode, stdout, files } = await pack(tag, changelog(heading));
  expect(exitCode).toBe(1);
  expect(stdout).toContain(`::error::${message}`);
  expect(files).not.toContain("a-package-1.2.0.tgz");
});
