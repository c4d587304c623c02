import { describe, expect, test } from "vitest";
import { resolveForward } from "../../components/settings/forward.ts";
import {
  loginKeyOptions,
  renderAuthorizedKeyLine,
  tunnelKeyOptions,
  tunnelKeyPermits,
} from "../../components/render/authorizedKeyLine.ts";

describe("a line of authorized_keys", () => {
  test("is options, type, key and the marker, which replaces the key's own comment", () => {
    expect(
      renderAuthorizedKeyLine(["restrict", "pty"], "ssh-ed25519 AAAA tunnel-nas@nas\n", "marker:x/y"),
    ).toBe("restrict,pty ssh-ed25519 AAAA marker:x/y");
  });

  test("begins with the type if there are no options", () => {
    expect(renderAuthorizedKeyLine([], "ssh-ed25519 AAAA", "marker")).toBe("ssh-ed25519 AAAA marker");
  });

  test.each([
    "",
    "ssh-ed25519",
    "   ",
    'command="x" ssh-ed25519 AAAA',
    "restrict,pty ssh-ed25519 AAAA",
    '",pty AAAA',
  ])("cannot be made from %j, which is not a public key", (text) => {
    expect(() => renderAuthorizedKeyLine(["restrict"], text, "marker")).toThrow("must be a public key");
  });

  test.each([
    "",
    "a b",
    "restrict,pty",
    'command="a',
    'command="a\\"',
    'command="a\\\\"',
    'a="b" c="d"',
    'a="b",pty',
    "a=b",
  ])("cannot have %j as one option", (option) => {
    expect(() => renderAuthorizedKeyLine(["restrict", option], "ssh-ed25519 AAAA", "marker")).toThrow(
      "must be one option",
    );
  });

  test.each(['command="a b, \\"c\\" \\d"', 'from="1.2.3.4,!x"', "no-pty", 'command=""'])(
    "may have %j as one option",
    (option) => {
      expect(renderAuthorizedKeyLine([option], "ssh-ed25519 AAAA", "m")).toBe(`${option} ssh-ed25519 AAAA m`);
    },
  );

  test.each([
    ["an option", ["restrict", 'from="a\nssh-rsa"'], "ssh-ed25519 AAAA", "marker", "must be one line"],
    ["the key's comment", [], "ssh-ed25519 AAAA a\nssh-rsa", "marker", "must be one line"],
    ["the marker", [], "ssh-ed25519 AAAA", "marker\nssh-rsa", "must be one word"],
  ])("has no control characters in %s", (_what, options, key, marker, error) => {
    expect(() => renderAuthorizedKeyLine(options, key, marker)).toThrow(error);
  });

  test("of a tunnel lets the key run evict-stale and forward", () => {
    expect(renderAuthorizedKeyLine(tunnelKeyOptions("/usr/bin/take"), "ssh-ed25519 AAAA", "m")).toBe(
      'restrict,port-forwarding,command="/usr/bin/take" ssh-ed25519 AAAA m',
    );
  });

  test("of a tunnel permits the key to listen on its ports, known or not, and to connect to them", () => {
    const forwards = [
      { forward: resolveForward("ssh", { remotePort: 2222, target: 22 }), port: "2222" },
      { forward: resolveForward("web", { remotePort: 8080, target: 80, listen: "all" }), port: "8080" },
      { forward: resolveForward("v6", { remotePort: "auto", target: 81, listen: "fd00::2" }), port: "@v6@" },
    ];
    expect(tunnelKeyPermits(forwards)).toEqual([
      'permitlisten="127.0.0.1:2222"',
      'permitlisten="*:8080"',
      'permitlisten="[fd00::2]:@v6@"',
      'permitopen="127.0.0.1:2222"',
      'permitopen="127.0.0.1:8080"',
      'permitopen="[fd00::2]:@v6@"',
    ]);
  });

  test("of a login back admits the key only through the tunnel, with a terminal", () => {
    expect(renderAuthorizedKeyLine(loginKeyOptions("127.0.0.1"), "ssh-ed25519 AAAA", "m")).toBe(
      'restrict,pty,from="127.0.0.1,::1" ssh-ed25519 AAAA m',
    );
    expect(loginKeyOptions("192.168.1.5")).toEqual(["restrict", "pty", 'from="127.0.0.1,::1,192.168.1.5"']);
    expect(loginKeyOptions("::1")).toEqual(["restrict", "pty", 'from="127.0.0.1,::1"']);
  });
});
