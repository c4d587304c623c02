import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const project = fileURLToPath(new URL("../", import.meta.url));

describe("what Pulumi runs", () => {
  let folder: string;

  /** Writes a program that says where it is from, as of that second. */
  const write = (path: string, time: number) => {
    const file = join(folder, path);
    mkdirSync(join(file, ".."), { recursive: true });
    writeFileSync(
      file,
      path.endsWith("index.ts") || path.endsWith(".js") ? `export default () => "${path}";` : "",
    );
    utimesSync(file, time, time);
  };
  const run = () =>
    execFileSync("node", ["-e", 'import("./main.js").then((program) => console.log(program.default()))'], {
      cwd: folder,
      encoding: "utf8",
    }).trim();

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "main-"));
    cpSync(join(project, "main.js"), join(folder, "main.js"));
    symlinkSync(join(project, "node_modules"), join(folder, "node_modules"));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    write("index.ts", 1000);
    write("components/scripts/installed/status.sh", 1000);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("is the source where nobody has compiled it", () => {
    expect(run()).toBe("index.ts");
  });

  test("is the compiled program where that is newer than all of its source", () => {
    write("dist/index.js", 1001);
    expect(run()).toBe("dist/index.js");
  });

  test.each(["index.ts", "components/scripts/installed/status.sh"])(
    "is the source again where %s is newer than the compiled program",
    (path) => {
      write(path, 1002);
      expect(run()).toBe("index.ts");
      write(path, 1000);
    },
  );
});
