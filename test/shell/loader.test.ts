import { createHash } from "node:crypto";
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { KnownPart } from "../../components/remote/scriptText.ts";
import { loaderText, withoutComments } from "../../components/remote/scriptFiles.ts";
import { Program, commandText } from "../../components/remote/scriptText.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { headerOf, parseCommand } from "../../tools/parseCommand.ts";
import { runScript, shells } from "../support/shells.ts";

const files = {
  "bin/program": "the text\nof a program\n",
  "lib/library.sh":
    'main() { [ "$1" = remove ] || . "$tools/parts/$PARTS.sh"; printf "%s|" "$1" "$VALUE" "${TEXT-}"; }\n',
  "parts/part.sh": 'TEXT=$(cat "$tools/bin/program")\n',
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

/** The text that a command sends, except for the location of the tools. */
const command = () => {
  const header = Object.entries({
    ...{ HOST: "gate (198.18.0.2)", OWNER: "owner", RESOURCE: "key-script", VALUE: "it's" },
    PARTS: "part",
  }).map(([name, value]) => `${name}=${shellQuote(value)}\n`);
  const loader = loaderText();
  const own = loader.replace("STATE=/var/lib/ssh-reverse-tunnel\n", `STATE=${join(folder, "state")}\n`);
  expect(own).not.toBe(loader);
  return header.join("") + own;
};

const sentence =
  "error: gate (198.18.0.2): the tools of this project are not on this host, or not as they were installed; choose another revision and run 'pulumi up', which installs them\n";

// What root runs must belong to root.
describe.skipIf(process.getuid?.() !== 0).each(shells)(
  "the text that a command sends, in %s,",
  (_, shell) => {
    test("reads its library from the host's tools", () => {
      expect(runScript(shell, command(), "apply")).toEqual({
        stdout: "apply|it's|the text\nof a program|",
        stderr: "",
        status: 0,
      });
    });

    test("prints what to do if the host has no tools", () => {
      rmSync(join(folder, "state/owner/.tools"));
      expect(runScript(shell, command(), "apply")).toEqual({ stdout: "", stderr: sentence, status: 3 });
    });

    test.each(Object.keys(files))("runs nothing if %s is not as it was installed", (path) => {
      appendFileSync(join(tools, path), "echo more\n");
      expect(runScript(shell, command(), "apply")).toEqual({ stdout: "", stderr: sentence, status: 3 });
    });

    test("runs nothing if there is a file among the tools that was not installed", () => {
      writeFileSync(join(tools, "lib/three.sh"), "echo more\n");
      expect(runScript(shell, command(), "apply").stderr).toBe(sentence);
    });

    test.each([
      [
        "the file that names the tools belongs to another user",
        () => chownSync(join(folder, "state/owner/.tools"), 65534, 65534),
      ],
      ["the folder of that file does", () => chownSync(join(folder, "state"), 65534, 65534)],
      ["another user could rename the tools", () => chmodSync(join(folder, "tools"), 0o777)],
      ["a group could put others there", () => (chownSync(tools, 0, 65534), chmodSync(tools, 0o775))],
    ])("runs nothing if %s", (_, change) => {
      change();
      expect(runScript(shell, command(), "apply").stderr).toBe(sentence);
    });

    test("removes without its parts, which later tools may not have", () => {
      const text = command().replace("PARTS='part'", "PARTS='earlier'");
      expect(runScript(shell, text, "remove")).toEqual({ stdout: "remove|it's||", stderr: "", status: 0 });
    });

    test("has nothing to remove if the host has neither tools nor a record of it", () => {
      rmSync(join(folder, "state/owner/.tools"));
      expect(runScript(shell, command(), "remove")).toEqual({ stdout: "", stderr: "", status: 0 });
    });

    test("does not treat what is on record as removed if the host has no tools", () => {
      rmSync(join(folder, "state/owner/.tools"));
      writeFileSync(join(folder, "state/owner/key-script"), "file\t/etc/x\n");
      expect(runScript(shell, command(), "remove")).toEqual({ stdout: "", stderr: sentence, status: 3 });
    });
  },
);

describe("a command", () => {
  const part = (script: string, values: KnownPart["values"] = {}) => ({ script, values });
  const command = (...parts: KnownPart[]) => commandText({ A: "b" }, parts);

  test("sends values and the loader, but no library, parts or programs", () => {
    const parts = [part("account", { B: "it's" }), part("sshServer", { TEXT: new Program("evictStale") })];
    const { values, rest } = headerOf(command(...parts));
    expect(values).toEqual({
      ...{ A: "b", TEXTS: "", PARTS: "account sshServer" },
      PARTS_HASH: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
    });
    expect(rest).toBe(
      `values_1() {\n:\nB='it'\\''s'\nTEXTS=''\n}\nvalues_2() {\n:\nTEXTS='TEXT=evictStale'\n}\n${withoutComments(loaderText())}`,
    );
    expect(parseCommand(command(...parts))).toEqual({ common: { A: "b" }, parts });
  });

  test("changes if it runs another part or another program", () => {
    const hashes = [
      command(part("knownHost")),
      command(part("clientConfig")),
      command(part("knownHost"), part("clientConfig")),
      command(part("knownHost", { X: new Program("evictStale") })),
      command(part("knownHost", { X: new Program("health") })),
    ].map((text) => headerOf(text).values.PARTS_HASH);
    expect(new Set(hashes).size).toBe(5);
  });
});
