import { describe, expect, test } from "vitest";
import { resolveForward } from "../../components/forward.ts";
import {
  renderAuthorizedKeyLine,
  returnKeyOptions,
  tunnelKeyOptions,
} from "../../components/render/authorizedKeyLine.ts";

describe("a line of authorized_keys", () => {
  test("is options, type, key and the marker in place of the key's own comment", () => {
    expect(
      renderAuthorizedKeyLine(["restrict", "pty"], "ssh-ed25519 AAAA tunnel-nas@nas\n", "marker:x/y"),
    ).toBe("restrict,pty ssh-ed25519 AAAA marker:x/y");
  });

  test("begins with the type where there are no options", () => {
    expect(renderAuthorizedKeyLine([], "ssh-ed25519 AAAA", "marker")).toBe("ssh-ed25519 AAAA marker");
  });

  test.each(["", "ssh-ed25519", "   "])("cannot be made of '%s'", (text) => {
    expect(() => renderAuthorizedKeyLine([], text, "marker")).toThrow(`this is no public key: '${text}'`);
  });

  test.each([
    ["an option", ["restrict", 'from="a"\nssh-rsa'], "marker"],
    ["the marker", [], "marker\nssh-rsa"],
  ])("has no control characters in %s", (_what, options, marker) => {
    expect(() => renderAuthorizedKeyLine(options, "ssh-ed25519 AAAA", marker)).toThrow("must be one line");
  });

  test("of a tunnel lets the key listen on its ports, open them again, and run the takeover", () => {
    const forwards = [
      { forward: resolveForward("ssh", { remotePort: 2222, target: 22 }), port: 2222 },
      { forward: resolveForward("web", { remotePort: 8080, target: 80, listen: "all" }), port: 8080 },
      { forward: resolveForward("v6", { remotePort: "auto", target: 81, listen: "fd00::2" }), port: 20345 },
    ];
    expect(
      renderAuthorizedKeyLine(tunnelKeyOptions(forwards, "/usr/bin/take"), "ssh-ed25519 AAAA", "m"),
    ).toBe(
      'restrict,port-forwarding,command="/usr/bin/take",permitlisten="127.0.0.1:2222",permitlisten="*:8080",permitlisten="[fd00::2]:20345",permitopen="127.0.0.1:2222",permitopen="127.0.0.1:8080",permitopen="[fd00::2]:20345" ssh-ed25519 AAAA m',
    );
  });

  test("of a return path lets the key in through the tunnel only, with a terminal", () => {
    expect(renderAuthorizedKeyLine(returnKeyOptions("127.0.0.1"), "ssh-ed25519 AAAA", "m")).toBe(
      'restrict,pty,from="127.0.0.1,::1" ssh-ed25519 AAAA m',
    );
    expect(returnKeyOptions("192.168.1.5")).toEqual(["restrict", "pty", 'from="127.0.0.1,::1,192.168.1.5"']);
    expect(returnKeyOptions("::1")).toEqual(["restrict", "pty", 'from="127.0.0.1,::1"']);
  });
});
