import { describe, expect, test } from "vitest";
import { assertValid, oneLine, oneWord } from "../../components/render/checks.ts";

const control = ["a\nb", "a\rb", "a\tb", "a\0b", "a\u001bb", "a\u007fb", "a\u0085b"];

describe("text for one line", () => {
  test.each(["", "ProtectHome=yes", "Description=Zähler # 'x'"])("may be %j", (text) => {
    expect(oneLine(text)).toBe(text);
  });

  test.each(control)("cannot be %j", (text) => {
    expect(() => oneLine(text)).toThrow(
      `${JSON.stringify(text)} must be one line, without control characters`,
    );
  });
});

describe("text for one word of a line", () => {
  test.each(["alice", "tunnel-*", "[::1]:22", "*:8080", "alice@10.0.0.0/8"])("may be %j", (text) => {
    expect(oneWord(text)).toBe(text);
  });

  test.each([...control, "", "a b", "a\u00a0b", "#a", 'a"b', "a'b", "a\\", "a=b"])("cannot be %j", (text) => {
    expect(() => oneWord(text)).toThrow(
      `${JSON.stringify(text)} must be one word, without spaces, quotes, '#', '=', '\\' and control characters`,
    );
  });
});

describe("a value with a type", () => {
  test.each<[Parameters<typeof assertValid>[0], string[], string[]]>([
    ["host", ["gate", "a-1"], ["", "Gate", "a.b", "-a", "a\n", "*", "ä", "a".repeat(64)]],
    ["tunnel", ["nas"], ["", "a".repeat(25), "../x", "a b"]],
    [
      "account",
      ["root", "_x-1", "First.Last", "3d"],
      ["", "-r", ".a", "12", "a@b", "A\\b", "root\n", "a".repeat(33), "%n"],
    ],
    [
      "plain",
      ["198.18.0.2", "fd00::2", "::1", "Gate.example.org", "_a"],
      ["", "-x", "%h", "a,b", "*", "!a", "@a"],
    ],
    [
      "unitWord",
      ["*:8080:127.0.0.1:22", "[fd00::2]:1:a:2", "a,b@c"],
      ["", "%n", "$A", "a;b", "a\\", "a b", '"a"'],
    ],
    [
      "unit",
      ["a.service", "a@b.timer"],
      ["", "a", "../a.service", "-a.service", "a b.service", "a.service\n"],
    ],
    ["file", ["nas.key", "_"], ["", ".ssh", "..", "-x", "a/b", "a b", "a\t", "a".repeat(201)]],
    ["clientConfig", ["nas.conf", "a.b.conf"], ["", ".conf", "a", "a.conf\n", "a/b.conf"]],
    ["path", ["/", "/srv/my data/$(x)"], ["", "a", "~", "/a\nb", "/a\tb", "/a\u0085"]],
    [
      "publicKey",
      ["ssh-rsa AAA=", "sk-ssh-ed25519@openssh.com A"],
      ["", "ssh-rsa", "a b c", "restrict ssh-rsa A", "@a b", "a b\n"],
    ],
  ])("%s", (kind, good, bad) => {
    for (const text of good) expect(assertValid(kind, text)).toBe(text);
    for (const text of bad) {
      expect(() => assertValid(kind, text), JSON.stringify(text)).toThrow(`${JSON.stringify(text)} must be `);
    }
  });
});
