import { afterEach, describe, expect, test } from "vitest";
import { loadConfig, mapValues, parseConfig } from "../../components/settings/load.ts";
import { hostKey } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { mistakesIn, setConfig, smallest } from "../support/settings.ts";

type Changes = Record<string, unknown>;

const gateWith = (changes: Changes, name = "gate") => ({
  ...smallest(),
  publicHosts: { [name]: { ...smallest().publicHosts.gate, ...changes } },
});
/** Only the public hosts, to replace others. */
const gateOnly = (admin: Changes) => ({ publicHosts: gateWith({ admin }).publicHosts });
const nasWith = (changes: Changes, name = "nas") => ({
  ...smallest(),
  internalHosts: { [name]: { ...smallest().internalHosts.nas, ...changes } },
});
const forwardWith = (changes: Changes, name = "ssh") =>
  nasWith({ forwards: { [name]: { remotePort: 2222, target: 22, ...changes } } });
/** Several internal hosts, and as many public hosts as are named. */
const hosts = (internal: Record<string, Changes>, publicHosts = ["gate"]) => ({
  publicHosts: Object.fromEntries(publicHosts.map((name) => [name, smallest().publicHosts.gate])),
  internalHosts: mapValues(internal, (changes) => ({ ...smallest().internalHosts.nas, ...changes })),
});

const name =
  "must have a name of a-z, 0-9 and '-' that begins with a letter and is not too long, since units and accounts are named after it";
const port = "must be a port from 1 to 65535";
const portOrAuto = "must be a port from 1024 to 65535, or 'auto'";
const target = "must be host:port, [v6]:port, or a port of the internal host";
const listen = "must be 'loopback', 'all', or an IP address of the public host";

describe("settings without a mistake", () => {
  test("get all defaults", () => {
    expect(parseConfig(smallest())).toEqual({
      publicHosts: {
        gate: {
          address: "198.18.0.2",
          sshPort: 22,
          skip: false,
          listenOnSshPort: false,
          clientAliveIntervalSec: 15,
          clientAliveCountMax: 3,
          portRange: { first: 20000, last: 29999 },
          installPackages: true,
          toolsDirectory: "/opt/ssh-reverse-tunnel",
          namespaces: true,
          gone: false,
          connection: {
            host: "198.18.0.2",
            port: 22,
            user: "root",
            hostKey,
            perDialTimeout: 10,
          },
        },
      },
      internalHosts: {
        nas: {
          address: "198.18.0.3",
          skip: false,
          toolsDirectory: "/opt/ssh-reverse-tunnel",
          namespaces: true,
          gone: false,
          connection: {
            host: "198.18.0.3",
            port: 22,
            user: "root",
            hostKey,
            perDialTimeout: 10,
          },
          ways: [],
        },
      },
      tunnels: {
        nas: {
          address: "198.18.0.3",
          internalHost: "nas",
          publicHost: "gate",
          enabled: true,
          forwards: {
            ssh: { enabled: true, remotePort: 2222, target: 22, listen: "loopback", probe: "listener" },
          },
          keepAlive: { preset: "fast" },
          watchdogIntervalSec: 15,
          healthIntervalSec: 30,
          timeoutSec: 30,
        },
      },
      drift: false,
      revision: "",
    });
  });

  test("keep their values", () => {
    const config = parseConfig({
      ...hosts({ nas: { publicHost: "other" } }, ["gate", "other"]),
      revision: "2",
    });
    expect(config.tunnels.nas?.publicHost).toBe("other");
    expect(config.revision).toBe("2");
  });

  test("use the nearest word for the keys", () => {
    const { tunnels } = parseConfig({
      ...hosts({
        nas: {},
        shop: { keys: "after-the-break-in", forwards: { ssh: { remotePort: 2223, target: 22 } } },
      }),
      keys: "2026-Q4",
    });
    expect(tunnels.nas?.keys).toBe("2026-Q4");
    expect(tunnels.shop?.keys).toBe("after-the-break-in");
  });

  test("may have an admin address of a host that differs from the address for tunnels", () => {
    const config = parseConfig(gateWith({ admin: { hostKey, address: "10.0.0.1", port: 2200 } }));
    expect(config.publicHosts.gate).toMatchObject({
      address: "198.18.0.2",
      connection: { host: "10.0.0.1", port: 2200 },
    });
  });

  test.each([
    ["a name of 24 characters", nasWith({}, "a".repeat(24))],
    ["the lowest port that needs no root", forwardWith({ remotePort: 1024 })],
    ["the highest port", forwardWith({ remotePort: 65535 })],
    ["an IPv6 address", forwardWith({ listen: "fd00::2", target: "[fd00::5]:443" })],
    [
      "sources of both families",
      forwardWith({ listen: "all", sources: ["203.0.113.0/24", "2001:db8::/32", "198.51.100.7"] }),
    ],
    ["the guide's own keep-alive", nasWith({ keepAlive: { preset: "conservative" } })],
    [
      "a keep-alive with its own values",
      nasWith({ keepAlive: { serverAliveIntervalSec: 60, restartSec: 0.3 } }),
    ],
    ["an allowUsers with the admin", gateWith({ allowUsers: ["root", "alice"] })],
    ["bounds that contain its forwards", gateWith({ permitListen: ["127.0.0.1:*"], permitOpen: ["*:2222"] })],
  ])("may have %s", (_what, raw) => {
    expect(mistakesIn(raw)).toEqual([]);
  });
});

describe("one mistake is reported with its path, what was found and what is allowed", () => {
  test.each<[string, Changes, string]>([
    [
      "a port out of range",
      forwardWith({ remotePort: 70000 }),
      `internalHosts.nas.forwards.ssh.remotePort: found 70000; ${portOrAuto}`,
    ],
    [
      "'auto' misspelt",
      forwardWith({ remotePort: "atuo" }),
      `internalHosts.nas.forwards.ssh.remotePort: found "atuo"; ${portOrAuto}`,
    ],
    [
      "a port that is only for root",
      forwardWith({ remotePort: 1023 }),
      "internalHosts.nas.forwards.ssh.remotePort: found 1023; must be 1024 or above: sshd listens on a port below only for root, and the tunnel is not root",
    ],
    [
      "no target",
      forwardWith({ target: undefined }),
      `internalHosts.nas.forwards.ssh.target: found nothing; ${target}`,
    ],
    [
      "a target without a port",
      forwardWith({ target: "printer" }),
      `internalHosts.nas.forwards.ssh.target: found "printer"; ${target}`,
    ],
    [
      "a listener that is a name",
      forwardWith({ listen: "everyone" }),
      `internalHosts.nas.forwards.ssh.listen: found "everyone"; ${listen}`,
    ],
    [
      "a listener with a zone",
      forwardWith({ listen: "fe80::1%eth0" }),
      `internalHosts.nas.forwards.ssh.listen: found "fe80::1%eth0"; ${listen}`,
    ],
    [
      "an invalid probe",
      forwardWith({ probe: "connect" }),
      `internalHosts.nas.forwards.ssh.probe: found "connect"; must be 'none', 'listener' or 'banner'`,
    ],
    [
      "a tunnel that nothing checks",
      forwardWith({ probe: "none" }),
      `internalHosts.nas.forwards: found {"ssh":{"remotePort":2222,"target":22,"probe":"none"}}; must not all have the probe 'none': one of them must show whether the tunnel works`,
    ],
    [
      "a probe for a banner that nobody sends",
      forwardWith({ target: 80, probe: "banner" }),
      `internalHosts.nas.forwards.ssh.probe: found "banner"; must be 'none' or 'listener': only an SSH server sends the banner that is looked for`,
    ],
    [
      "an invalid protocol",
      forwardWith({ protocol: "http" }),
      `internalHosts.nas.forwards.ssh.protocol: found "http"; must be 'ssh' or 'tcp'`,
    ],
    [
      "a source that is not a network",
      forwardWith({ listen: "all", sources: ["203.0.113.0/24", "office"] }),
      `internalHosts.nas.forwards.ssh.sources.1: found "office"; must be a network, '203.0.113.0/24' or '2001:db8::/32', or one address`,
    ],
    [
      "a source with host bits",
      forwardWith({ listen: "all", sources: ["203.0.113.7/24"] }),
      'internalHosts.nas.forwards.ssh.sources.0: found "203.0.113.7/24"; must be a network without host bits: 203.0.113.0/24',
    ],
    [
      "a source that covers everyone",
      forwardWith({ listen: "all", sources: ["0.0.0.0/0"] }),
      'internalHosts.nas.forwards.ssh.sources.0: found "0.0.0.0/0"; must not cover every address: leave `sources` out to admit everyone',
    ],
    [
      "an empty list of sources",
      forwardWith({ listen: "all", sources: [] }),
      "internalHosts.nas.forwards.ssh.sources: found []; must be a list of networks with at least one entry",
    ],
    [
      "more sources than a firewall can add within the minute of a trial",
      forwardWith({ listen: "all", sources: Array.from({ length: 31 }, (_, i) => `203.0.113.${i}`) }),
      'internalHosts.nas.forwards.ssh.sources: found ["203.0.113.0","203.0.113.1","203.0.113.2","203.0.113.3",…; must be a list of 30 networks at most',
    ],
    [
      "sources of a forward on loopback",
      forwardWith({ sources: ["203.0.113.0/24"] }),
      'internalHosts.nas.forwards.ssh.sources: found ["203.0.113.0/24"]; must be left out: only the public host itself can reach a forward that listens on its loopback address',
    ],
    [
      "sources of a different family than the listener",
      forwardWith({ listen: "198.18.0.2", sources: ["2001:db8::/32"] }),
      `internalHosts.nas.forwards.ssh.sources: found ["2001:db8::/32"]; must be networks of IPv4: nothing else reaches '198.18.0.2'`,
    ],
    [
      "no forwards",
      nasWith({ forwards: {} }),
      "internalHosts.nas.forwards: found {}; must be a map with at least one of the forwards",
    ],
    [
      "an empty map of public hosts",
      { ...smallest(), publicHosts: {} },
      "publicHosts: found {}; must be a map with at least one of the public hosts",
    ],
    [
      "no public hosts at all",
      { internalHosts: smallest().internalHosts },
      "publicHosts: found nothing; must be a map of public hosts by name",
    ],
    [
      "a list instead of a map",
      { ...smallest(), internalHosts: [] },
      "internalHosts: found []; must be a map of internal hosts by name",
    ],
    [
      "text instead of a map",
      { ...smallest(), publicHosts: "gate" },
      'publicHosts: found "gate"; must be a map of public hosts by name',
    ],
    [
      "no address",
      gateWith({ address: undefined }),
      "publicHosts.gate.address: found nothing; must be a host name or an IP address",
    ],
    [
      "an address with an account in it",
      gateWith({ address: "root@gate" }),
      'publicHosts.gate.address: found "root@gate"; must be a host name or an IP address',
    ],
    [
      "an address with a zone",
      gateWith({ address: "fe80::1%eth0" }),
      'publicHosts.gate.address: found "fe80::1%eth0"; must be a host name or an IP address',
    ],
    [
      "a bad host key",
      gateWith({ admin: { hostKey: "AAAA" } }),
      `publicHosts.gate.admin.hostKey: found "AAAA"; must be an ed25519 or ecdsa host key, 'ssh-ed25519 AAAA…'`,
    ],
    [
      "an RSA host key, which the provider cannot check",
      gateWith({ admin: { hostKey: "ssh-rsa AAAA" } }),
      `publicHosts.gate.admin.hostKey: found "ssh-rsa AAAA"; must be an ed25519 or ecdsa host key, 'ssh-ed25519 AAAA…'`,
    ],
    [
      "an admin that is not an account name",
      gateWith({ admin: { hostKey, user: "Root User" } }),
      `publicHosts.gate.admin.user: found "Root User"; must be the name of an account: letters, digits, '_', '.' and '-', at most 32 characters, and not only digits`,
    ],
    [
      "a capital in a tunnel's name",
      nasWith({}, "Nas"),
      `internalHosts.Nas: found ${shown(smallest().internalHosts.nas)}; ${name}`,
    ],
    [
      "a leading dash in a tunnel's name",
      nasWith({}, "-nas"),
      `internalHosts.-nas: found ${shown(smallest().internalHosts.nas)}; ${name}`,
    ],
    [
      "a tunnel's name of 25 characters",
      nasWith({}, "a".repeat(25)),
      `internalHosts.${"a".repeat(25)}: found ${shown(smallest().internalHosts.nas)}; ${name}`,
    ],
    [
      "an invalid name of a forward",
      forwardWith({}, "a b"),
      `internalHosts.nas.forwards.a b: found {"remotePort":2222,"target":22}; ${name}`,
    ],
    [
      "an allowUsers without the admin",
      gateWith({ allowUsers: ["alice"] }),
      `publicHosts.gate.allowUsers: found ["alice"]; must name the admin 'root', who would otherwise be locked out`,
    ],
    [
      "a forward that listens outside the bounds",
      gateWith({ permitListen: ["127.0.0.1:2223"] }),
      `internalHosts.nas.forwards.ssh: found {"remotePort":2222,"target":22}; must listen where permitListen allows it: 127.0.0.1:2222 is not in ["127.0.0.1:2223"]`,
    ],
    [
      "an empty allowUsers",
      gateWith({ allowUsers: [] }),
      "publicHosts.gate.allowUsers: found []; must be a list of accounts with at least one entry",
    ],
    [
      "a reversed port range",
      gateWith({ portRange: { first: 30000, last: 20000 } }),
      'publicHosts.gate.portRange: found {"first":30000,"last":20000}; must be a range whose first port is not above its last',
    ],
    [
      "half a second",
      nasWith({ keepAlive: { serverAliveIntervalSec: 0.5 } }),
      "internalHosts.nas.keepAlive.serverAliveIntervalSec: found 0.5; must be a whole number of seconds, 1 or more",
    ],
    [
      "a restart without a pause",
      nasWith({ keepAlive: { restartSec: 0 } }),
      "internalHosts.nas.keepAlive.restartSec: found 0; must be a number of seconds from 0.1 to 86400, with at most one decimal place",
    ],
    [
      "a disabled tunnel that Pulumi connects through",
      nasWith({ enabled: false, admin: { hostKey, throughTunnel: "ssh" } }),
      "internalHosts.nas.enabled: found false; must be true while Pulumi connects through this tunnel, or nobody could enable it again; connect directly first, without throughTunnel",
    ],
    [
      "a tunnel whose only forward is disabled",
      forwardWith({ enabled: false }),
      `internalHosts.nas.forwards: found {"ssh":{"remotePort":2222,"target":22,"enabled":false}}; must have one that is enabled; to stop all of them, set 'enabled: false' for the tunnel itself`,
    ],
    [
      "an unknown preset",
      nasWith({ keepAlive: { preset: "slow" } }),
      "internalHosts.nas.keepAlive.preset: found \"slow\"; must be 'fast' or 'conservative'",
    ],
    [
      "a folder with '..' in it",
      nasWith({ textfileDirectory: "/srv/../etc" }),
      'internalHosts.nas.textfileDirectory: found "/srv/../etc"; must be the absolute path of a folder, without a slash at the end',
    ],
    [
      "a watchdog that runs too often",
      nasWith({ watchdogIntervalSec: 1 }),
      "internalHosts.nas.watchdogIntervalSec: found 1; must be a whole number of seconds, 5 or more",
    ],
    [
      "a proxy whose URL has a password",
      nasWith({ proxy: { url: "http://me:hidden@proxy:3128" } }),
      `internalHosts.nas.proxy.url: found "http://…@proxy:3128"; must be 'http://host:port' or 'socks5://host:port'; user and password are settings of their own`,
    ],
    [
      "a proxy with a user and no password",
      nasWith({ proxy: { url: "socks5://proxy:1080", user: "me" } }),
      `internalHosts.nas.proxy: found {"url":"socks5://proxy:1080","user":"me"}; must have both 'user' and 'password', or neither`,
    ],
    [
      "a password of a proxy with two lines",
      nasWith({ proxy: { url: "http://proxy:3128", user: "me", password: "one\ntwo" } }),
      "internalHosts.nas.proxy.password: found a secret; must be 1 to 255 octets, without control characters",
    ],
    [
      "a jump host without a host key",
      nasWith({ proxyJump: { address: "dmz", user: "relay" } }),
      "internalHosts.nas.proxyJump.hostKey: found nothing; must be a host key, 'ssh-ed25519 AAAA…'",
    ],
    [
      "an empty list of logins back",
      nasWith({ logins: [] }),
      "internalHosts.nas.logins: found []; must be a list with at least one login; leave it out for none, or set it to null if the defaults have some",
    ],
    ["a revision that is a map", { ...smallest(), revision: {} }, "revision: found {}; must be text"],
    [
      "an empty word for the keys",
      nasWith({ keys: "" }),
      'internalHosts.nas.keys: found ""; must be text of at least one character, without NUL',
    ],
    [
      "a number as the word for the keys",
      nasWith({ keys: 2026 }),
      "internalHosts.nas.keys: found 2026; must be text of at least one character",
    ],
    [
      "an unknown setting",
      { ...smallest(), publicHost: {} },
      "publicHost: there is no such setting; remove it, or correct its name",
    ],
    [
      "an unknown setting of a host",
      nasWith({ restartSec: 1 }),
      "internalHosts.nas.restartSec: there is no such setting; remove it, or correct its name",
    ],
  ])("%s", (_what, raw, line) => {
    expect(mistakesIn(raw)).toEqual([line]);
  });
});

describe("a value instead of a map is reported like any other mistake", () => {
  test.each<[string, Changes]>([
    ["publicHosts.gate", { ...smallest(), publicHosts: { gate: "198.18.0.2" } }],
    ["publicHosts.gate.admin", gateWith({ admin: "root" })],
    ["publicHosts.gate.portRange", gateWith({ portRange: 20000 })],
    ["internalHosts.nas", { ...smallest(), internalHosts: { nas: null } }],
    ["internalHosts.nas.forwards.ssh", nasWith({ forwards: { ssh: 2222 } })],
    ["internalHosts.nas.logins.0", nasWith({ logins: ["root"] })],
    ["internalHosts.nas.keepAlive", nasWith({ keepAlive: 3 })],
  ])("%s", (path, raw) => {
    expect(mistakesIn(raw)).toEqual([expect.stringMatching(/^\S+: found \S+; must be a map /)]);
    expect(mistakesIn(raw)[0]).toMatch(new RegExp(`^${path}: `));
  });
});

/** A value as a message shows it: at most 60 characters. */
function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

describe("the public host of a tunnel", () => {
  test("is one of the public hosts in the settings", () => {
    expect(mistakesIn(hosts({ nas: { publicHost: "gat" } }, ["gate", "other"]))).toEqual([
      'internalHosts.nas.publicHost: found "gat"; must be one of the public hosts: gate, other',
    ]);
  });

  test("must be named if there are two", () => {
    expect(mistakesIn(hosts({ nas: {} }, ["gate", "other"]))).toEqual([
      "internalHosts.nas.publicHost: found nothing; must be one of the public hosts: gate, other",
    ]);
  });

  test("may have a mistake of its own, which does not make its name unknown", () => {
    const raw = hosts({ nas: { publicHost: "gate" } });
    expect(mistakesIn({ ...raw, publicHosts: gateWith({ sshPort: 0 }).publicHosts })).toEqual([
      `publicHosts.gate.sshPort: found 0; ${port}`,
    ]);
  });
});

describe("checks that connect to one sshd from many places", () => {
  const forwards = (count: number, probe = "banner") =>
    Object.fromEntries(
      Array.from(
        { length: count },
        (_, i) => [`f${i}`, { remotePort: 2222 + i, target: 22, probe }] as const,
      ),
    );
  const nas = (count: number, watchdogIntervalSec: number, healthIntervalSec: number) =>
    nasWith({ forwards: forwards(count), watchdogIntervalSec, healthIntervalSec });

  test("may not run every second, at which a newer sshd refuses whoever comes through the tunnel", () => {
    expect(mistakesIn(nas(3, 5, 5))).toEqual([
      "internalHosts.nas.watchdogIntervalSec: found 5; is too short: together, the checks would probe 127.0.0.1:22 at least once a second, and sshd of OpenSSH 9.8 and later then refuses everyone who comes through these forwards (PerSourcePenalties); raise it or healthIntervalSec",
    ]);
  });

  test("are added up if two tunnels come from one machine", () => {
    const often = { watchdogIntervalSec: 5, healthIntervalSec: 5, address: "192.0.2.1" };
    const two = (changes: Changes) =>
      hosts({
        nas: { ...often, forwards: forwards(2) },
        till: { ...often, forwards: { g: { remotePort: 2300, target: 22, probe: "banner" } }, ...changes },
      });
    expect(mistakesIn(two({}))).toEqual([
      expect.stringMatching(/^internalHosts\.till\.watchdogIntervalSec: /),
    ]);
    expect(mistakesIn(two({ address: "192.0.2.2" }))).toEqual([]);
  });

  test.each<[string, Changes]>([
    ["two forwards every 5 s", nas(2, 5, 5)],
    ["nine forwards as often as by default", nas(9, 15, 30)],
    [
      "three every 5 s that do not connect to their target",
      nasWith({ forwards: forwards(3, "listener"), watchdogIntervalSec: 5, healthIntervalSec: 5 }),
    ],
  ])("may run at %s", (_what, settings) => {
    expect(mistakesIn(settings)).toEqual([]);
  });
});

describe("two forwards on one port", () => {
  const two = (one: Changes, other: Changes) =>
    nasWith({
      forwards: {
        a: { remotePort: 2222, target: 22, ...one },
        b: { remotePort: 2222, target: 80, ...other },
      },
    });
  const collision = [
    "internalHosts.nas.forwards.b.remotePort: found 2222; must be a different port: internalHosts.nas.forwards.a has the same one on the same address",
  ];

  test.each<[string, Changes, Changes]>([
    ["loopback and loopback", {}, {}],
    ["loopback and all", {}, { listen: "all" }],
    ["all and loopback", { listen: "all" }, {}],
    ["loopback and 127.0.0.1", {}, { listen: "127.0.0.1" }],
    ["an address and 0.0.0.0", { listen: "198.18.0.2" }, { listen: "0.0.0.0" }],
    ["an IPv6 address and ::", { listen: "fd00::2" }, { listen: "::" }],
    ["all and ::", { listen: "all" }, { listen: "::" }],
    ["0.0.0.0 and all", { listen: "0.0.0.0" }, { listen: "all" }],
  ])("collide on %s", (_what, one, other) => {
    expect(mistakesIn(two(one, other))).toEqual(collision);
  });

  test.each<[string, Changes, Changes]>([
    ["loopback and another address", {}, { listen: "198.18.0.2" }],
    ["an IPv4 and an IPv6 address", {}, { listen: "::1" }],
    ["0.0.0.0 and an IPv6 address", { listen: "0.0.0.0" }, { listen: "::1" }],
    ["loopback and ::", {}, { listen: "::" }],
    ["0.0.0.0 and ::", { listen: "0.0.0.0" }, { listen: "::" }],
    [
      "0.0.0.0 and ::, each with its sources",
      { listen: "0.0.0.0", sources: ["203.0.113.0/24"] },
      { listen: "::", sources: ["2001:db8::/32"] },
    ],
    ["auto and auto", { remotePort: "auto" }, { remotePort: "auto" }],
  ])("do not collide on %s", (_what, one, other) => {
    expect(mistakesIn(two(one, other))).toEqual([]);
  });

  test.each([
    [{ listen: "0.0.0.0", sources: ["203.0.113.0/24"] }, { listen: "::" }, "found nothing; "],
    [{ listen: "0.0.0.0" }, { listen: "::", sources: ["2001:db8::/32"] }, 'found ["2001:db8::/32"]; '],
  ])("cannot listen on 0.0.0.0 and :: if only one has sources: %j, %j", (one, other, found) => {
    expect(mistakesIn(two(one, other))).toEqual([
      `internalHosts.nas.forwards.b.sources: ${found}must be given for both or for neither: internalHosts.nas.forwards.a has the same port, and the firewall opens or blocks a port for IPv4 and IPv6 together`,
    ]);
  });

  test("collide across two internal hosts of the same public host", () => {
    expect(mistakesIn(hosts({ nas: {}, till: {} }))).toEqual([
      "internalHosts.till.forwards.ssh.remotePort: found 2222; must be a different port: internalHosts.nas.forwards.ssh has the same one on the same address",
    ]);
  });

  test("do not collide on different public hosts", () => {
    const raw = hosts({ nas: { publicHost: "gate" }, till: { publicHost: "other" } }, ["gate", "other"]);
    expect(mistakesIn(raw)).toEqual([]);
  });
});

describe("a login back", () => {
  const path = { from: "alice", to: "bob" };

  test("needs a forward to an SSH port", () => {
    const raw = nasWith({ forwards: { web: { remotePort: 8080, target: 80 } }, logins: [path] });
    expect(mistakesIn(raw)).toEqual([
      `internalHosts.nas.logins.0: found {"from":"alice","to":"bob"}; must have a forward to an SSH port to go through; add one, for example 'ssh: { remotePort: auto, target: 22 }'`,
    ]);
  });

  test("may use an SSH server on another port if the settings say that it is one", () => {
    const alt = { remotePort: 8022, target: 2022, protocol: "ssh" };
    expect(mistakesIn(nasWith({ forwards: { alt }, logins: [path] }))).toEqual([]);
  });

  describe("without 'via'", () => {
    const printer = { remotePort: 2223, target: "192.168.1.20:22" };
    const viaOf = (ssh: string | number) =>
      parseConfig(nasWith({ forwards: { printer, ssh: { remotePort: 2222, target: ssh } }, logins: [path] }));

    test.each([22, "127.0.0.53:22", "[::1]:22", "localhost:22", "198.18.0.3:22"])(
      "uses the forward to the internal host itself, not the first of all: %j",
      (target) => {
        expect(() => viaOf(target)).not.toThrow();
      },
    );

    test("is refused if all forwards to an SSH port lead to other machines", () => {
      expect(mistakesIn(nasWith({ forwards: { printer }, logins: [path] }))).toEqual([
        "internalHosts.nas.logins.0.via: found nothing; must be one of printer, since none of the forwards to an SSH port leads to the internal host itself, by its loopback or its address",
      ]);
      expect(mistakesIn(nasWith({ forwards: { printer }, logins: [{ ...path, via: "printer" }] }))).toEqual(
        [],
      );
    });
  });

  test("uses a forward that exists and leads to an SSH port", () => {
    const forwards = { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 80 } };
    const via = (forward: string) => nasWith({ forwards, logins: [{ ...path, via: forward }] });
    expect(mistakesIn(via("ssh"))).toEqual([]);
    expect(mistakesIn(via("sch"))).toEqual([
      'internalHosts.nas.logins.0.via: found "sch"; must be a forward to an SSH port: ssh',
    ]);
    expect(mistakesIn(via("web"))).toEqual([
      'internalHosts.nas.logins.0.via: found "web"; must be a forward to an SSH port: ssh',
    ]);
  });

  test("has a unique alias for each account of the public host", () => {
    expect(mistakesIn(nasWith({ logins: [path, { from: "alice", to: "root" }] }))).toEqual([
      "internalHosts.nas.logins.1.alias: found nothing; must be a different alias: internalHosts.nas.logins.0 is already 'ssh nas' for 'alice'",
    ]);
    expect(mistakesIn(nasWith({ logins: [path, { from: "root", to: "root" }] }))).toEqual([]);
  });

  test("has a unique alias among all tunnels of the public host", () => {
    const till = {
      forwards: { ssh: { remotePort: 2223, target: 22 } },
      logins: [{ ...path, alias: "nas" }],
    };
    expect(mistakesIn(hosts({ nas: { logins: [path] }, till }))).toEqual([
      `internalHosts.till.logins.0.alias: found "nas"; must be a different alias: internalHosts.nas.logins.0 is already 'ssh nas' for 'alice'`,
    ]);
  });

  test("with a mistake is reported only for that mistake", () => {
    expect(mistakesIn(nasWith({ logins: [{ from: "a b", to: "bob" }] }))).toEqual([
      `internalHosts.nas.logins.0.from: found "a b"; must be the name of an account: letters, digits, '_', '.' and '-', at most 32 characters, and not only digits`,
    ]);
  });
});

describe("an admin connection through the tunnel", () => {
  const ssh = { remotePort: 2222, target: 22 };
  const through = (forwards: Changes, changes: Changes = {}) =>
    nasWith({ forwards, admin: { hostKey, throughTunnel: "ssh", ...changes } });
  const at = 'internalHosts.nas.admin.throughTunnel: found "ssh";';
  const example = "add one, for example 'ssh: { remotePort: 2222, target: 22 }'";

  const connectionIn = (raw: Changes) => parseConfig(raw).internalHosts.nas;

  test("starts on the public host and ends where the forward listens there", () => {
    const raw = { ...through({ ssh }), ...gateOnly({ hostKey, user: "admin", port: 2200 }) };
    expect(connectionIn(raw)).toMatchObject({
      throughTunnel: "gate",
      connection: {
        host: "127.0.0.1",
        port: 2222,
        user: "root",
        hostKey,
        proxy: { host: "198.18.0.2", port: 2200, user: "admin", hostKey },
      },
    });
  });

  test("is not a setting of the internal host's login but of the way to it", () => {
    expect(connectionIn(nasWith({}))).toMatchObject({ connection: { host: "198.18.0.3", port: 22 } });
    expect(connectionIn(nasWith({}))?.throughTunnel).toBeUndefined();
    expect(connectionIn(nasWith({}))?.connection).not.toHaveProperty("proxy");
  });

  test.each([
    ["127.0.0.1", "loopback"],
    ["127.0.0.1", "all"],
    ["198.18.0.2", "198.18.0.2"],
    ["::1", "::"],
  ])("ends at %s if the forward listens on %s", (host, listen) => {
    expect(connectionIn(through({ ssh: { ...ssh, listen } }))?.connection).toMatchObject({
      host,
      port: 2222,
    });
  });

  test("replaces the host's own port and bastion", () => {
    const own = { port: 2200, bastion: { address: "bastion.example.org", hostKey } };
    expect(connectionIn(through({ ssh }, own))?.connection).toMatchObject({
      port: 2222,
      proxy: { host: "198.18.0.2" },
    });
  });

  test("starts on the public host of its own tunnel if there are two", () => {
    const nas = { publicHost: "other", admin: { hostKey, throughTunnel: "ssh" } };
    const config = parseConfig(hosts({ nas }, ["gate", "other"]));
    expect(config.internalHosts.nas?.throughTunnel).toBe("other");
  });

  test("may use an SSH server on another port if the settings say that it is one", () => {
    expect(mistakesIn(through({ ssh: { ...ssh, target: 2022, protocol: "ssh" } }))).toEqual([]);
  });

  test.each<[string, Changes, string]>([
    [
      "no forward to an SSH port",
      { ssh: { remotePort: 2222, target: 80 } },
      `must be a forward to its sshd with a fixed port; ${example}`,
    ],
    [
      "no fixed port",
      { ssh: { ...ssh, remotePort: "auto" } },
      `must be a forward to its sshd with a fixed port; ${example}`,
    ],
    [
      "no such forward",
      { a: ssh, b: { remotePort: 2223, target: 22 } },
      "must be a forward to its sshd with a fixed port: a, b",
    ],
  ])("is a mistake if there is %s", (_what, forwards, message) => {
    expect(mistakesIn(through(forwards))).toEqual([`${at} ${message}`]);
  });

  test("is a mistake if the public host is behind a bastion", () => {
    const bastion = { address: "bastion.example.org", hostKey };
    expect(mistakesIn({ ...through({ ssh }), ...gateOnly({ hostKey, bastion }) })).toEqual([
      `${at} must be left out if the public host is behind a bastion: only one host on the way is supported`,
    ]);
  });

  test("cannot be set for a public host, or with a name that a forward cannot have", () => {
    expect(mistakesIn(gateWith({ admin: { hostKey, throughTunnel: "ssh" } }))).toHaveLength(1);
    expect(mistakesIn(through({ ssh }, { throughTunnel: "S sh" }))).toEqual([
      "internalHosts.nas.admin.throughTunnel: found \"S sh\"; must be the name of a forward, or of a tunnel and its forward: '<tunnel>.<forward>'",
    ]);
  });

  test("that uses a forward with a mistake is reported only for that mistake, with the mistakes of the public host", () => {
    const forwards = { ssh: { ...ssh, remotePort: 80 }, other: { remotePort: 2223, target: 22 } };
    expect(mistakesIn({ ...through(forwards), ...gateOnly({ hostKey, port: 0 }) })).toEqual([
      `publicHosts.gate.admin.port: found 0; ${port}`,
      "internalHosts.nas.forwards.ssh.remotePort: found 80; must be 1024 or above: sshd listens on a port below only for root, and the tunnel is not root",
    ]);
  });
});

describe("several mistakes", () => {
  test("are all reported at once, from the schema and from the rules between settings", () => {
    const raw = {
      publicHosts: {
        gate: { ...smallest().publicHosts.gate, allowUsers: ["alice"], sshport: 22 },
        other: { address: "198.18.0.9", admin: { hostKey: "AAAA" } },
      },
      internalHosts: {
        nas: {
          ...smallest().internalHosts.nas,
          publicHost: "gat",
          forwards: {
            ssh: { remotePort: 70000, target: 22 },
            web: { remotePort: 80, target: 80 },
            other: { remotePort: "auto", target: 81 },
          },
        },
      },
    };
    expect(mistakesIn(raw).sort()).toEqual([
      `internalHosts.nas.forwards.ssh.remotePort: found 70000; ${portOrAuto}`,
      "internalHosts.nas.forwards.web.remotePort: found 80; must be 1024 or above: sshd listens on a port below only for root, and the tunnel is not root",
      'internalHosts.nas.publicHost: found "gat"; must be one of the public hosts: gate, other',
      `publicHosts.gate.allowUsers: found ["alice"]; must name the admin 'root', who would otherwise be locked out`,
      "publicHosts.gate.sshport: there is no such setting; remove it, or correct its name",
      `publicHosts.other.admin.hostKey: found "AAAA"; must be an ed25519 or ecdsa host key, 'ssh-ed25519 AAAA…'`,
    ]);
  });

  test("are counted, and followed by where to read more", () => {
    const raw = { ...forwardWith({ remotePort: 0 }), revision: [] };
    expect(() => parseConfig(raw)).toThrow(
      /^the settings have 2 mistakes; nothing was changed:\n {2}.*\n {2}.*\nEvery setting is described in docs\/settings\.md\.$/,
    );
  });

  test("include an unknown setting next to a known one", () => {
    expect(mistakesIn(nasWith({ forward: {}, login: [] }))).toEqual([
      "internalHosts.nas.forward: there is no such setting; remove it, or correct its name",
      "internalHosts.nas.login: there is no such setting; remove it, or correct its name",
    ]);
  });
});

describe("a secret is never shown", () => {
  const secret = "hunter2";
  test.each<[string, Changes]>([
    ["in its own setting, if that is invalid", gateWith({ admin: { hostKey, password: [secret] } })],
    ["as an invalid passphrase", gateWith({ admin: { hostKey, passphrase: [secret] } })],
    [
      "in a host with an invalid name",
      nasWith({ admin: { password: secret, hostKey }, address: "a" }, "Nas"),
    ],
    ["in an admin that is a list", gateWith({ admin: [{ password: secret }] })],
    ["in hosts that are a list", { ...smallest(), publicHosts: [{ admin: { password: secret } }] }],
    ["in a bastion that is a list", gateWith({ admin: { hostKey, bastion: [{ password: secret }] } })],
    [
      "as the secret of notify, if that is no text",
      gateWith({ notify: { command: "true", secret: [secret] } }),
    ],
    ["in place of notify", gateWith({ notify: `https://hooks.example/${secret}` })],
    ["in a host with an invalid name, in place of notify", gateWith({ notify: secret, address: [] })],
  ])("%s", (_what, raw) => {
    const found = mistakesIn(raw);
    expect(found).not.toEqual([]);
    expect(found.join("\n")).not.toContain(secret);
  });
});

describe("a host key that cannot be found", () => {
  const knownHostsFile = "/nonexistent/known_hosts";

  test("is reported as a mistake of its host, with all others", () => {
    const raw = { ...gateWith({ admin: { knownHostsFile }, allowUsers: ["alice"] }) };
    expect(mistakesIn(raw)).toEqual([
      `publicHosts.gate.allowUsers: found ["alice"]; must name the admin 'root', who would otherwise be locked out`,
      `publicHosts.gate.admin: gate: no ed25519 or ecdsa host key for 198.18.0.2 in ${knownHostsFile}; log in once with ssh and compare the key that it shows, or set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub`,
    ]);
  });
});

describe("the stack's configuration", () => {
  afterEach(() => setConfig({}));

  const load = async (settings: Changes, secretKeys: string[] = []) => {
    setConfig(settings, secretKeys);
    const { result } = await record(() => loadConfig());
    return result;
  };

  test("is read as structured values", async () => {
    expect(await load(smallest())).toEqual(parseConfig(smallest()));
  });

  test("may contain secrets", async () => {
    const { publicHosts } = await load(gateWith({ admin: { hostKey, password: "hunter2" } }), [
      "publicHosts",
    ]);
    expect(Object.keys(publicHosts.gate!.connection)).toContain("password");
  });

  test.each(["2024-01-01", "7", "1.10", "true", "null", ""])(
    "may have any text as its revision: '%s'",
    async (revision) => {
      expect((await load({ ...smallest(), revision })).revision).toBe(revision);
    },
  );

  test.each(["2026-10-01", "7", "true", "null"])(
    "may have any text as its word for the keys: '%s'",
    async (keys) => {
      expect((await load({ ...smallest(), keys })).tunnels.nas?.keys).toBe(keys);
    },
  );

  test("is reported as missing if there is none", async () => {
    await expect(load({})).rejects.toThrow(
      "the settings have one mistake; nothing was changed:\n  publicHosts: found nothing; must be a map of public hosts by name\n",
    );
  });
});
