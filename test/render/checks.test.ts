import { describe, expect, test } from "vitest";
import { oneLine, oneWord } from "../../components/render/checks.ts";

const control = ["a\nb", "a\rb", "a\tb", "a\0b", "a\u001bb", "a\u007fb", "a\u0085b"];

describe("a text that goes on one line", () => {
  test.each(["", "ProtectHome=yes", "Description=Zähler # 'x'"])("may be %j", (text) => {
    expect(oneLine(text)).toBe(text);
  });

  test.each(control)("cannot be %j", (text) => {
    expect(() => oneLine(text)).toThrow(
      `${JSON.stringify(text)} must be one line, without control characters`,
    );
  });
});

describe("a text that is one word of a line", () => {
  test.each(["alice", "tunnel-*", "[::1]:22", "*:8080", "alice@10.0.0.0/8"])("may be %j", (text) => {
    expect(oneWord(text)).toBe(text);
  });

  test.each([...control, "", "a b", "a\u00a0b", "#a", 'a"b', "a'b"])("cannot be %j", (text) => {
    expect(() => oneWord(text)).toThrow(
      `${JSON.stringify(text)} must be one word, without spaces, quotes, '#' and control characters`,
    );
  });
});
