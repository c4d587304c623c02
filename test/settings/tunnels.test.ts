import { describe, expect, test } from "vitest";
import { parseConfig } from "../../components/settings/load.ts";
import { hostKey } from "../support/hosts.ts";
import { mistakesIn, smallest } from "../support/settings.ts";

type Changes = Record<string, unknown>;

const ssh = { remotePort: 2222, target: 22 };
const logins = [{ from: "alice", to: "bob" }];
const nas = { address: "198.18.0.3", admin: { hostKey }, forwards: { ssh } };
const publicHost = (changes: Changes = {}) => ({ ...smallest().publicHosts.gate, ...changes });
/** Two public hosts, and these internal hosts. */
const settings = (internalHosts: Changes, changes: Changes = {}) => ({
  publicHosts: {
    "gate-a": publicHost({ address: "198.18.0.2" }),
    "gate-b": publicHost({ address: "198.18.0.9" }),
    ...changes,
  },
  internalHosts,
});
const withNas = (changes: Changes, publicHosts: Changes = {}) =>
  settings({ nas: { ...nas, ...changes } }, publicHosts);

describe("an internal host", () => {
  test("with one public host has one tunnel, which has its name", () => {
    const { tunnels } = parseConfig(withNas({ publicHost: "gate-b", logins }));
    expect(Object.keys(tunnels)).toEqual(["nas"]);
    expect(tunnels.nas).toMatchObject({ internalHost: "nas", publicHost: "gate-b", logins });
  });

  test("with a list of public hosts has a tunnel to each, named after both, with the same forwards and logins", () => {
    const { tunnels } = parseConfig(withNas({ publicHosts: ["gate-a", "gate-b"], logins, timeoutSec: 60 }));
    const same = {
      internalHost: "nas",
      forwards: { ssh },
      logins: [{ from: "alice", to: "bob", alias: "nas" }],
      timeoutSec: 60,
    };
    expect(tunnels).toMatchObject({
      "nas-gate-a": { ...same, publicHost: "gate-a" },
      "nas-gate-b": { ...same, publicHost: "gate-b" },
    });
  });

  test("with tunnels of its own gives each what it does not set itself", () => {
    const web = { remotePort: 8080, target: 80 };
    const { tunnels } = parseConfig(
      withNas({
        watchdogIntervalSec: 20,
        logins,
        tunnels: {
          nas: { publicHost: "gate-a" },
          far: { publicHost: "gate-b", forwards: { ssh, web }, timeoutSec: 90 },
        },
      }),
    );
    expect(tunnels.nas).toMatchObject({
      publicHost: "gate-a",
      timeoutSec: 30,
      watchdogIntervalSec: 20,
      logins,
    });
    expect(tunnels.far).toMatchObject({
      publicHost: "gate-b",
      forwards: { ssh, web },
      logins: [{ ...logins[0], alias: "nas" }],
      timeoutSec: 90,
      watchdogIntervalSec: 20,
    });
  });

  test("needs no forwards of its own if each of its tunnels has some", () => {
    const tunnels = { one: { publicHost: "gate-a", forwards: { ssh } } };
    const rest = { ...nas, forwards: undefined };
    expect(mistakesIn(settings({ nas: { ...rest, tunnels } }))).toEqual([]);
    expect(mistakesIn(settings({ nas: { ...rest, publicHosts: ["gate-a"] } }))).toEqual([
      "internalHosts.nas.forwards: found nothing; must be a map of forwards by name",
    ]);
  });
});

describe("a mistake in the tunnels of an internal host is reported:", () => {
  const names = "must be one of the public hosts: gate-a, gate-b";

  test.each<[string, Changes, string]>([
    [
      "a public host that does not exist",
      { publicHosts: ["gate-a", "gate-c"] },
      `internalHosts.nas.publicHosts.1: found "gate-c"; ${names}`,
    ],
    [
      "the same in a tunnel",
      { tunnels: { one: { publicHost: "gate-c" } } },
      `internalHosts.nas.tunnels.one.publicHost: found "gate-c"; ${names}`,
    ],
    [
      "none in a tunnel",
      { tunnels: { one: {} } },
      `internalHosts.nas.tunnels.one.publicHost: found nothing; ${names}`,
    ],
    [
      "a public host twice",
      { publicHosts: ["gate-a", "gate-a"] },
      'internalHosts.nas.publicHosts.1: found "gate-a"; must not be named twice',
    ],
    [
      "a list next to one public host",
      { publicHost: "gate-a", publicHosts: ["gate-b"] },
      'internalHosts.nas.publicHosts: found ["gate-b"]; must be left out, since publicHost is set',
    ],
    [
      "an empty list",
      { publicHosts: [] },
      "internalHosts.nas.publicHosts: found []; must be a list of public hosts with at least one entry",
    ],
    [
      "a forward that both tunnels have, once",
      { publicHosts: ["gate-a", "gate-b"], forwards: { ssh: { ...ssh, probe: "none" } } },
      'internalHosts.nas.forwards: found {"ssh":{"remotePort":2222,"target":22,"probe":"none"}}; must not all have the probe \'none\': one of them must show whether the tunnel works',
    ],
    [
      "a forward of one tunnel",
      { tunnels: { one: { publicHost: "gate-a", forwards: { ssh: { remotePort: 80, target: 22 } } } } },
      "internalHosts.nas.tunnels.one.forwards.ssh.remotePort: found 80; must be 1024 or above: sshd listens on a port below only for root, and the tunnel is not root",
    ],
    [
      "two tunnels that listen on one port",
      { tunnels: { one: { publicHost: "gate-a" }, two: { publicHost: "gate-a" } } },
      'internalHosts.nas.tunnels.two: found {"publicHost":"gate-a"}; must have forwards of its own, since the tunnel \'one\' has the same ports on the same public host',
    ],
  ])("%s", (_what, changes, line) => {
    expect(mistakesIn(withNas(changes))).toEqual([line]);
  });

  test("a name that would be too long, with what to write instead", () => {
    const long = "gate-of-the-branch-office";
    expect(mistakesIn(withNas({ publicHosts: ["gate-a", long] }, { [long]: publicHost() }))).toEqual([
      `internalHosts.nas.publicHosts.1: found "${long}"; must make a name of at most 24 characters with that of the internal host, but 'nas-${long}' has 29; name its tunnels yourself: 'tunnels: { <name>: { publicHost: ${long} } }'`,
    ]);
  });

  test("a name that another internal host has", () => {
    const other = { ...nas, publicHost: "gate-a", forwards: { ssh: { ...ssh, remotePort: 2223 } } };
    expect(mistakesIn(settings({ "nas-gate-b": other, nas: { ...nas, publicHosts: ["gate-b"] } }))).toEqual([
      `internalHosts.nas.publicHosts.0: found "gate-b"; must not make a tunnel called 'nas-gate-b', since nas-gate-b has one of this name; name this one yourself, in 'tunnels'`,
    ]);
  });
});

describe("an admin connection through one of several tunnels", () => {
  const publicHosts = ["gate-a", "gate-b"];
  const waysIn = (throughTunnel: unknown, changes: Changes = { publicHosts }, gates: Changes = {}) => {
    const raw = withNas({ ...changes, admin: { hostKey, throughTunnel } }, gates);
    return parseConfig(raw).internalHosts.nas!;
  };
  const names = (host: ReturnType<typeof waysIn>) => host.ways.map(({ tunnel }) => tunnel);

  test("may take each tunnel that has the forward, in their order", () => {
    const host = waysIn("ssh");
    expect(names(host)).toEqual(["nas-gate-a", "nas-gate-b"]);
    expect(host.throughTunnel).toBe("gate-a or gate-b");
    expect(host.connection).toMatchObject({ host: "127.0.0.1", port: 2222, proxy: { host: "198.18.0.2" } });
    expect(host.ways[1]!.connection).toMatchObject({ port: 2222, proxy: { host: "198.18.0.9" } });
  });

  test("may take them in another order, or only some", () => {
    expect(names(waysIn(["nas-gate-b.ssh", "ssh"]))).toEqual(["nas-gate-b", "nas-gate-a"]);
    expect(names(waysIn(["nas-gate-b.ssh"]))).toEqual(["nas-gate-b"]);
  });

  test("never takes one whose public host is gone", () => {
    const gone = { "gate-a": publicHost({ gone: true }) };
    const host = waysIn("ssh", { publicHosts }, gone);
    expect(names(host)).toEqual(["nas-gate-b"]);
    expect(host.throughTunnel).toBe("gate-b");
    expect(() => waysIn("ssh", { publicHosts: ["gate-a"] }, gone)).toThrow(
      "must be left out, since the public host of its tunnel is gone",
    );
  });

  test("is a mistake if it names a tunnel whose public host is gone", () => {
    const gone = { "gate-a": publicHost({ gone: true }) };
    expect(() => waysIn(["nas-gate-a.ssh", "nas-gate-b.ssh"], { publicHosts }, gone)).toThrow(
      'internalHosts.nas.admin.throughTunnel.0: found "nas-gate-a.ssh"; must name another tunnel, since gate-a is gone, where this one ends',
    );
  });

  test("is known by the tunnel's name if it is the only way", () => {
    const tunnels = {
      nas: { publicHost: "gate-a" },
      nas2: { publicHost: "gate-a", forwards: { web: { remotePort: 8080, target: 80 } }, enabled: false },
    };
    expect(waysIn(["nas.ssh"], { tunnels }).tunnel).toBe("nas");
  });

  test("is a mistake if it names a forward that no tunnel has", () => {
    expect(() => waysIn(["nas-gate-b.web"])).toThrow(
      'internalHosts.nas.admin.throughTunnel.0: found "nas-gate-b.web"; must be a forward to its sshd with a fixed port: nas-gate-a.ssh, nas-gate-b.ssh',
    );
  });
});

describe("a host or a tunnel that is off", () => {
  const publicHosts = ["gate-a", "gate-b"];
  const admin = { hostKey, throughTunnel: "ssh" };

  test("leaves the other tunnels of an internal host as ways to it", () => {
    const tunnels = { nas: { publicHost: "gate-a", enabled: false }, far: { publicHost: "gate-b" } };
    const config = parseConfig(withNas({ admin, tunnels }));
    expect(config.tunnels.nas?.enabled).toBe(false);
    expect(config.tunnels.far?.enabled).toBe(true);
    expect(config.internalHosts.nas?.ways.map(({ tunnel }) => tunnel)).toEqual(["far"]);
  });

  test("is a mistake if no other tunnel leads to it", () => {
    const lines = (path: string) => [
      `${path}: found false; must be true while Pulumi connects through this tunnel, or nobody could enable it again; connect directly first, without throughTunnel`,
    ];
    expect(mistakesIn(withNas({ admin, publicHosts, enabled: false }))).toEqual(
      lines("internalHosts.nas.enabled"),
    );
    const tunnels = { nas: { publicHost: "gate-a", enabled: false } };
    expect(mistakesIn(withNas({ admin, tunnels }))).toEqual(lines("internalHosts.nas.tunnels.nas.enabled"));
  });

  test("is not connected through while its public host is skipped, and skips the internal host if nothing else leads there", () => {
    const skipped = (address: string) => publicHost({ address, skip: true });
    const one = { "gate-a": skipped("198.18.0.2") };
    const { nas: reached } = parseConfig(withNas({ admin, publicHosts }, one)).internalHosts;
    expect(reached?.skip).toBe(false);
    expect(reached?.ways.map(({ publicHost: end, skip }) => [end, skip])).toEqual([
      ["gate-a", true],
      ["gate-b", false],
    ]);
    expect(reached?.connection).toBe(reached?.ways[1]?.connection);
    const both = { ...one, "gate-b": skipped("198.18.0.9") };
    expect(parseConfig(withNas({ admin, publicHosts }, both)).internalHosts.nas?.skip).toBe(true);
  });

  test("cannot have the name of a host of the other kind", () => {
    expect(mistakesIn(withNas({ publicHost: "gate-a" }, { nas: publicHost() }))).toEqual([
      expect.stringMatching(
        /^internalHosts\.nas: found .*; must have another name, since there is a public host called 'nas'$/,
      ),
    ]);
  });

  test("cannot be skipped and gone", () => {
    const gone = { "gate-a": publicHost({ gone: true, skip: true }) };
    expect(mistakesIn(withNas({ publicHost: "gate-b" }, gone))).toEqual([
      "publicHosts.gate-a.skip: found true; must be left out, since the host is gone",
    ]);
  });
});
