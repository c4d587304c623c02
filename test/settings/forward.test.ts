import { describe, expect, test } from "vitest";
import {
  bindAddress,
  forwardWord,
  probeAddress,
  hostPort,
  isOpen,
  parseTarget,
  resolveForward,
} from "../../components/settings/forward.ts";

describe("a forward's target", () => {
  test.each([
    [22, { host: "127.0.0.1", port: 22 }],
    ["8080", { host: "127.0.0.1", port: 8080 }],
    ["printer:9100", { host: "printer", port: 9100 }],
    ["192.168.1.5:80", { host: "192.168.1.5", port: 80 }],
    ["[fd00::5]:443", { host: "fd00::5", port: 443 }],
    ["a:65535", { host: "a", port: 65535 }],
  ])("may be %j", (target, expected) => {
    expect(parseTarget(target)).toEqual(expected);
  });

  test.each([0, 65536, 1.5, -1, "", "printer", "printer:", ":22", "a:0", "a b:22", "fd00::5:443", "-x:22"])(
    "cannot be %j",
    (target) => {
      expect(parseTarget(target)).toBeUndefined();
    },
  );
});

describe("a forward", () => {
  test("to port 22 is for SSH and only for the public host itself, unless the settings say otherwise", () => {
    expect(resolveForward("ssh", { remotePort: 2222, target: 22 })).toEqual({
      name: "ssh",
      enabled: true,
      remotePort: 2222,
      targetHost: "127.0.0.1",
      targetPort: 22,
      listen: "loopback",
      protocol: "ssh",
      probe: "listener",
    });
  });

  test("is looked at without a connection to its target unless the settings say otherwise, and for a banner only if it leads to an SSH server", () => {
    const probeOf = (target: number, probe?: "none" | "listener" | "banner") =>
      resolveForward("x", { remotePort: 8080, target, ...(probe && { probe }) }).probe;
    expect([probeOf(22), probeOf(80)]).toEqual(["listener", "listener"]);
    expect([probeOf(22, "banner"), probeOf(80, "none")]).toEqual(["banner", "none"]);
    expect(() => probeOf(80, "banner")).toThrow(
      "the forward 'x': its probe must be 'none' or 'listener': only an SSH server sends the banner that is looked for",
    );
    expect(() => probeOf(22, "connect" as "none")).toThrow(
      "the forward 'x': 'connect' is not a valid probe; write 'none', 'listener' or 'banner'",
    );
  });

  test("is one word for the hosts, which names its probe if it has one of its own", () => {
    const word = (probe?: "none" | "banner") =>
      forwardWord(resolveForward("ssh", { remotePort: 2222, target: 22, ...(probe && { probe }) }), 2222);
    expect(word()).toBe("ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback");
    expect(word("banner")).toBe("ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback,banner");
  });

  test("is plain TCP if its target has another port, unless the settings say otherwise", () => {
    expect(resolveForward("web", { remotePort: "auto", target: "a:80" }).protocol).toBe("tcp");
    expect(resolveForward("alt", { remotePort: 8080, target: 2022, protocol: "ssh" }).protocol).toBe("ssh");
    expect(resolveForward("git", { remotePort: 8080, target: 22, protocol: "tcp" }).protocol).toBe("tcp");
  });

  test("with a wrong target is reported with what a target is", () => {
    expect(() => resolveForward("web", { remotePort: 8080, target: "printer" })).toThrow(
      "the forward 'web': 'printer' is not a valid target; write host:port, [v6]:port or a port",
    );
  });

  test.each(["", "Web", "1web", "we b", "web\n", "a".repeat(32)])("cannot be called %j", (name) => {
    expect(() => resolveForward(name, { remotePort: 8080, target: 80 })).toThrow(
      `'${name}' is not a valid name for a forward; use a to z, 0 to 9 and '-', beginning with a letter, at most 31 characters`,
    );
  });

  test.each([0, 1023, 65536, 8080.5, NaN])("cannot have the remote port %d", (remotePort) => {
    expect(() => resolveForward("web", { remotePort, target: 80 })).toThrow(
      `the forward 'web': '${remotePort}' is not a valid remote port: expected a port from 1024 to 65535, or 'auto'`,
    );
  });

  test.each(["", "gate", "*", "fe80::1%eth0", "127.0.0.1\n", "constructor"])(
    "cannot listen on %j",
    (listen) => {
      expect(() => resolveForward("web", { remotePort: 8080, target: 80, listen })).toThrow(
        `the forward 'web': '${listen}' is not a valid listen address: expected 'loopback', 'all' or an IP address of the public host`,
      );
    },
  );

  test.each([
    { listen: "loopback", bind: "127.0.0.1", check: "127.0.0.1", open: false },
    { listen: "all", bind: "*", check: "127.0.0.1", open: true },
    { listen: "0.0.0.0", bind: "0.0.0.0", check: "127.0.0.1", open: true },
    { listen: "::", bind: "::", check: "::1", open: true },
    { listen: "127.0.0.5", bind: "127.0.0.5", check: "127.0.0.5", open: false },
    { listen: "::1", bind: "::1", check: "::1", open: false },
    { listen: "198.18.0.2", bind: "198.18.0.2", check: "198.18.0.2", open: true },
  ])("on $listen requests $bind, and is reached at $check", ({ listen, bind, check, open }) => {
    const forward = resolveForward("web", { remotePort: 8080, target: 80, listen });
    expect(bindAddress(forward)).toBe(bind);
    expect(probeAddress(forward)).toBe(check);
    expect(isOpen(forward)).toBe(open);
  });

  test("may be open to some networks, each of which is normalized", () => {
    const sources = ["203.0.113.0/24", "2001:0DB8::/32", "2001:db8::/32"];
    expect(resolveForward("web", { remotePort: 8080, target: 80, listen: "all", sources }).sources).toEqual([
      "203.0.113.0/24",
      "2001:db8::/32",
    ]);
    expect(resolveForward("web", { remotePort: 8080, target: 80, listen: "all" }).sources).toBeUndefined();
  });

  test.each([
    ["all", [], "must be a list with at least one network; leave it out to admit everyone"],
    ["all", ["10.0.0.1/8"], "must be a network without host bits: 10.0.0.0/8"],
    [
      "127.0.0.5",
      ["10.0.0.0/8"],
      "must be left out: only the public host itself can reach a forward that listens on its loopback address",
    ],
    ["::", ["10.0.0.0/8"], "must be networks of IPv6: nothing else reaches '::'"],
    ["198.18.0.2", ["10.0.0.0/8", "fd00::/8"], "must be networks of IPv4: nothing else reaches '198.18.0.2'"],
  ])("that listens on %s cannot have the sources %j", (listen, sources, mistake) => {
    expect(() => resolveForward("web", { remotePort: 8080, target: 80, listen, sources })).toThrow(
      `the forward 'web': its sources ${mistake}`,
    );
  });

  test("has its address in brackets if that is IPv6", () => {
    expect(hostPort("::1", 22)).toBe("[::1]:22");
    expect(hostPort("gate", 22)).toBe("gate:22");
  });
});
