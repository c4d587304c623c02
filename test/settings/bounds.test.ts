import { describe, expect, test } from "vitest";
import { boundsMistake } from "../../components/settings/bounds.ts";
import { resolveForward } from "../../components/settings/forward.ts";

const forward = (listen?: string, remotePort: number | "auto" = 2222) =>
  resolveForward("ssh", { remotePort, target: 22, ...(listen === undefined ? {} : { listen }) });

describe("a bound on where forwards listen", () => {
  test.each([
    ["nothing", undefined],
    ["any", ["any"]],
    ["the port at the address", ["127.0.0.1:2222"]],
    ["every port at the address", ["127.0.0.1:*"]],
    ["the port at every address", ["*:2222"]],
    ["the port without an address", ["2222"]],
    ["a pattern with its beginning", ["127.*:2222"]],
    ["one of several entries", ["127.0.0.1:80", "[::1]:2222", "127.0.0.1:2222"]],
  ])("allows 127.0.0.1:2222 if it is %s", (_what, permitListen) => {
    expect(boundsMistake(forward(), { permitListen })).toBeUndefined();
  });

  test.each([
    ["none", ["none"]],
    ["another port", ["127.0.0.1:222", "127.0.0.1:22222"]],
    ["another address", ["127.0.0.2:2222", "localhost:2222", "0.0.0.0:2222", "[::1]:*"]],
    ["an address in which a dot is any character", ["127x0x0x1:2222"]],
    ["text that sshd cannot parse", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:22-22", ":2222"]],
  ])("does not allow 127.0.0.1:2222 if it is %s", (_what, permitListen) => {
    expect(boundsMistake(forward(), { permitListen })).toBe(
      `must listen where permitListen allows it: 127.0.0.1:2222 is not in ${JSON.stringify(permitListen)}`,
    );
  });

  test("applies to the requested address: 'all' is not loopback, and IPv6 is in brackets", () => {
    expect(boundsMistake(forward("all"), { permitListen: ["127.0.0.1:*"] })).toContain(": *:2222 is not in");
    expect(boundsMistake(forward("all"), { permitListen: ["*:2222"] })).toBeUndefined();
    expect(boundsMistake(forward("fd00::2"), { permitListen: ["[fd00::2]:*"] })).toBeUndefined();
    expect(boundsMistake(forward("fd00::2"), { permitListen: ["[fd00::3]:*"] })).toContain(
      ": [fd00::2]:2222 is not in",
    );
  });

  test("allows 'auto' if it allows every port that may be chosen", () => {
    const range = { first: 3000, last: 3001 };
    const auto = forward("loopback", "auto");
    for (const permitListen of [["127.0.0.1:*"], ["127.0.0.1:3000", "127.0.0.1:3001"]]) {
      expect(boundsMistake(auto, { permitListen }, range)).toBeUndefined();
    }
    expect(boundsMistake(auto, { permitListen: ["127.0.0.1:3000"] }, range)).toBe(
      `must listen where permitListen allows it: 127.0.0.1:3001, which 'auto' may choose, is not in ["127.0.0.1:3000"]`,
    );
    expect(boundsMistake(auto, { permitListen: ["127.0.0.1:3000"] })).toContain("127.0.0.1:20000, which");
  });
});

test("a bound on what tunnels may connect to applies to the address at which their own listeners are reached", () => {
  expect(boundsMistake(forward("all"), { permitOpen: ["127.0.0.1:2222"] })).toBeUndefined();
  expect(boundsMistake(forward(), { permitListen: ["any"], permitOpen: ["127.0.0.1:22"] })).toBe(
    `must be open where permitOpen allows it: 127.0.0.1:2222 is not in ["127.0.0.1:22"]`,
  );
});
