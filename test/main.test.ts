import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const project = fileURLToPath(new URL("../", import.meta.url));

describe("the program that Pulumi runs", () => {
  let folder: string;

  const write = (path: string, text: string) => {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const node = (...args: string[]) =>
    execFileSync("node", args, {
      cwd: folder,
      encoding: "utf8",
      stdio: "pipe",
      env: { ...process.env, PATH: `${folder}/node_modules/.bin:${process.env.PATH}` },
    }).trim();
  const run = () =>
    node(
      "-e",
      'import("./main.js").then((program) => console.log(program.default(), program.default === undefined))',
    );
  const build = () => node("tools/build.js");

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "main-"));
    const own = ["main.js", "tools/build.js", "tools/sourceHash.js", "tsconfig.json", "tsconfig.build.json"];
    for (const file of own) cpSync(join(project, file), join(folder, file));
    symlinkSync(join(project, "node_modules"), join(folder, "node_modules"));
    write("package.json", '{ "type": "module" }');
    // Both print where they are from.
    write("index.ts", "export default (): string => import.meta.url.split('/').slice(-2).join('/');\n");
    write("components/shell/programs/status.sh", "");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const source = () => `${folder.split("/").pop()}/index.ts false`;
  const compiled = "dist/index.js false";

  test("is the source if nobody has compiled it", () => {
    expect(run()).toBe(source());
  });

  test("is the compiled program if it was made from exactly that source", () => {
    build();
    expect(run()).toBe(compiled);
  });

  test.each(["index.ts", "components/shell/programs/status.sh"])(
    "is the source again if %s has changed since, whatever its time",
    (path) => {
      const before = readFileSync(join(folder, path), "utf8");
      write(path, `${before}// changed\n`);
      expect(run()).toBe(source());
      write(path, before);
      expect(run()).toBe(compiled);
    },
  );

  test("stays the same if a build fails", () => {
    const before = readFileSync(join(folder, "index.ts"), "utf8");
    write("index.ts", `${before}const wrong: number = "";\n`);
    expect(build).toThrow();
    expect(run()).toBe(source());
    write("index.ts", before);
    expect(run()).toBe(compiled);
  });
});
