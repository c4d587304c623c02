import { createHash } from "node:crypto";
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Program, commandText, readScript, withoutComments } from "../components/remoteScript.ts";
import { shellQuote } from "../components/shell.ts";
import { headerOf } from "../tools/scriptText.ts";
import { runScript, shells } from "./support/shells.ts";

const files = {
  "bin/program": "the text\nof a program\n",
  "lib/one.sh": "print() { printf '%s|' \"$@\"; }\n",
  "lib/two.sh": 'main() { print "$1" "$VALUE" "$TEXT"; }\n',
  "parts/part.sh": 'for library in one two; do . "$tools/lib/$library.sh"; done\nmain "$@"\n',
};

let folder: string;
let tools: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "loader-"));
  const hash = createHash("sha256").update(Object.values(files).join("")).digest("hex");
  tools = join(folder, "tools", hash);
  for (const each of ["bin", "lib", "parts"]) mkdirSync(join(tools, each), { recursive: true });
  for (const [path, text] of Object.entries(files)) writeFileSync(join(tools, path), text);
  mkdirSync(join(folder, "state/owner"), { recursive: true });
  writeFileSync(join(folder, "state/owner/.tools"), `${tools}\n`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What a command sends, but for where the tools are named. */
const command = () => {
  const header = Object.entries({
    ...{ HOST: "gate (198.18.0.2)", OWNER: "owner", RESOURCE: "key-script", VALUE: "it's" },
    ...{ PART: "part", TEXTS: "TEXT=program" },
  }).map(([name, value]) => `${name}=${shellQuote(value)}\n`);
  const loader = readScript("loader");
  const own = loader.replace("STATE=/var/lib/ssh-reverse-tunnel\n", `STATE=${join(folder, "state")}\n`);
  expect(own).not.toBe(loader);
  return header.join("") + own;
};

const sentence =
  "error: gate (198.18.0.2): the tools of this project are not on this host, or not as they were installed; choose another revision and run 'pulumi up', which installs them\n";

// What root runs must be root's.
describe.skipIf(process.getuid?.() !== 0).each(shells)("what a command sends, in %s,", (_, shell) => {
  test("reads library, part and the texts of programs from the host's tools", () => {
    expect(runScript(shell, command(), "apply")).toEqual({
      stdout: "apply|it's|the text\nof a program|",
      stderr: "",
      status: 0,
    });
  });

  test("says what to do where the host has no tools", () => {
    rmSync(join(folder, "state/owner/.tools"));
    expect(runScript(shell, command(), "apply")).toEqual({ stdout: "", stderr: sentence, status: 3 });
  });

  test.each(Object.keys(files))("runs nothing where %s is not as it was installed", (path) => {
    appendFileSync(join(tools, path), "echo more\n");
    expect(runScript(shell, command(), "apply")).toEqual({ stdout: "", stderr: sentence, status: 3 });
  });

  test("runs nothing where a file is among the tools that was not installed", () => {
    writeFileSync(join(tools, "lib/three.sh"), "echo more\n");
    expect(runScript(shell, command(), "apply").stderr).toBe(sentence);
  });

  test.each([
    [
      "the file that names the tools is somebody else's",
      () => chownSync(join(folder, "state/owner/.tools"), 65534, 65534),
    ],
    ["the folder of that file is", () => chownSync(join(folder, "state"), 65534, 65534)],
    ["somebody else could rename the tools", () => chmodSync(join(folder, "tools"), 0o777)],
    ["a group could put others there", () => (chownSync(tools, 0, 65534), chmodSync(tools, 0o775))],
  ])("runs nothing where %s", (_, change) => {
    change();
    expect(runScript(shell, command(), "apply").stderr).toBe(sentence);
  });

  test("removes without a program that later tools do not have any more", () => {
    const text = command().replace("TEXT=program", "TEXT=earlier");
    expect(runScript(shell, text, "remove")).toEqual({ stdout: "remove|it's||", stderr: "", status: 0 });
    expect(runScript(shell, text, "apply").stderr).toBe(sentence);
  });

  test("has nothing to remove where the host has neither tools nor a record of it", () => {
    rmSync(join(folder, "state/owner/.tools"));
    expect(runScript(shell, command(), "remove")).toEqual({ stdout: "", stderr: "", status: 0 });
  });

  test("does not take what is on record for removed where the host has no tools", () => {
    rmSync(join(folder, "state/owner/.tools"));
    writeFileSync(join(folder, "state/owner/key-script"), "file\t/etc/x\n");
    expect(runScript(shell, command(), "remove")).toEqual({ stdout: "", stderr: sentence, status: 3 });
  });
});

describe("a command", () => {
  const header = (script: string, programs: Record<string, Program> = {}) =>
    headerOf(commandText(script, { A: "b" }, programs));

  test("sends values and the loader, and nothing of library, part or programs", () => {
    const { values, rest } = header("sshServer", { TAKEOVER_TEXT: new Program("takeover") });
    expect(rest).toBe(withoutComments(readScript("loader")));
    expect(values).toEqual({
      A: "b",
      PART: "sshServer",
      PART_HASH: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      TEXTS: "TAKEOVER_TEXT=takeover",
    });
  });

  test("is another one where another part, or another program, is what it runs", () => {
    const hashes = [
      header("knownHost"),
      header("clientConfig"),
      header("knownHost", { X: new Program("takeover") }),
      header("knownHost", { X: new Program("health") }),
    ].map(({ values }) => values.PART_HASH);
    expect(new Set(hashes).size).toBe(4);
  });
});
