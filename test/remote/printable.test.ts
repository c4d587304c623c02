import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { printable } from "../../components/remote/printable.ts";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { shells } from "../support/shells.ts";

const hostile = {
  escape: "a\u001b[7mb",
  "carriage return": "a\rb",
  "C1 in UTF-8": "a\u009b7mb",
  "writing direction": "a\u202eb",
  "two lines": "a\nb",
  NUL: "a\0b",
};

describe("text from elsewhere", () => {
  test.each(Object.entries(hostile))("is shown without its %s", (_what, text) => {
    expect(printable(text)).toMatch(/^a\\u[0-9a-f]{4}(\[7m|7m)?b$/);
  });

  test("is short, and cannot be a command to GitHub's runner", () => {
    expect(printable("x".repeat(1000))).toHaveLength(256);
    expect(printable("  ::stop-commands::x")).toMatch(/^'/);
    expect(printable("a ##[group]b")).not.toContain("##[");
  });

  test("is left as it is if it is harmless, in every language", () => {
    for (const text of ["grüß dich, 世界", "port 2222: refused", ""]) expect(printable(text)).toBe(text);
  });
});

describe.each(shells)("the output of other programs, in %s,", (_name, shell) => {
  const run = (code: string, input: Buffer | string = "") => {
    const { stdout, stderr, status } = spawnSync(
      shell[0]!,
      [...shell.slice(1), "-c", `${readScript("printable")}\n${code}`],
      {
        input,
        timeout: 300_000,
        encoding: "latin1",
      },
    );
    return { stdout, stderr, status };
  };

  test("becomes one line of plain text of at most 200 characters", () => {
    expect(run("printable 1", "<0>\u001b[7mpwned\u001b[0m\nmore\n").stdout).toBe("?[7mpwned?[0m\n");
    expect(run("printable 1", "::add-mask::x\r\n").stdout).toBe("add-mask::x\n");
    expect(run("printable 1", Buffer.from([0x61, 0x9b, 0xff, 0xc2, 0x9b, 0, 0x62])).stdout).toBe("a?????b\n");
    expect(run("printable 1", "x".repeat(5000)).stdout).toBe(`${"x".repeat(200)}\n`);
    expect(run("printable 1", "").stdout).toBe("");
  });

  test("is limited to the requested number of lines, after the given prefix", () => {
    expect(run("printable 2 'says: '", "a\nb\nc\n").stdout).toBe("says: a\nsays: b\n");
  });

  test("is cut off if it never ends, with or without a newline", () => {
    expect(run("yes | printable 3").stdout).toBe("y\ny\ny\n");
    expect(run("tr '\\0' x </dev/zero | printable 1").stdout).toBe(`${"x".repeat(200)}\n`);
  });
});

describe.each(shells)("a message of a script, in %s", (_name, shell) => {
  const say = (text: string) =>
    spawnSync(
      shell[0]!,
      [...shell.slice(1), "-c", `${readScript("messages")}\nLC_ALL=C\nsay "$1"`, "sh", text],
      {
        env: { ...process.env, LC_ALL: "C" },
        encoding: "latin1",
      },
    ).stderr;

  test("is one line, without anything that a terminal would interpret", () => {
    expect(say("wrote /etc/x: 100 %s \\n")).toBe("wrote /etc/x: 100 %s \\n\n");
    expect(say("a\u001b[7m\u009b\rb\n::stop-commands::x")).toBe("a?[7m???b ::stop-commands::x\n");
  });
});
