import { expect, test } from "vitest";
import { readFile, readdir } from "node:fs/promises";

/**
 * Bringing up a lab removes an earlier one of its name: two files that run side by side would remove each other's
 * hosts.
 */
test("no two test files bring up labs of the same name", async () => {
  const files = (await Promise.all(["test/lab", "test/matrix", "test/selinux"].map(testsIn))).flat();
  const used = await Promise.all(
    files.map(async (file) => [...new Set(labsOf(await readFile(file, "utf8")))]),
  );
  const names = used.flat();
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});

const testsIn = async (folder: string) =>
  (await readdir(folder)).filter((file) => file.endsWith(".test.ts")).map((file) => `${folder}/${file}`);

const labsOf = (text: string) =>
  [...text.matchAll(/Lab\.(?:up\(\{ name: |clear\()(?:"(\w+)"|([A-Z]+))/g)].map(
    ([, literal, constant]) => literal ?? new RegExp(`const ${constant!} = "(\\w+)"`).exec(text)![1]!,
  );
