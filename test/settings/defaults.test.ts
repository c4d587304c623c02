import { describe, expect, test } from "vitest";
import { withDefaults } from "../../components/settings/defaults.ts";
import { parseConfig } from "../../components/settings/load.ts";
import { hostKey } from "../support/hosts.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { newSshKey } from "../support/sshKey.ts";
import { mistakesIn } from "../support/settings.ts";
import * as pulumi from "@pulumi/pulumi";

type Changes = Record<string, unknown>;

const ssh = { ssh: { remotePort: "auto", target: 22 } };

/** A public host and two internal hosts that have only an address. */
const bare = (defaults: Changes, nas: Changes = {}, gate: Changes = {}) => ({
  defaults,
  publicHosts: { gate: { address: "198.18.0.2", ...gate } },
  internalHosts: { nas: { address: "198.18.0.3", ...nas }, till: { address: "198.18.0.4" } },
});

const complete = {
  publicHost: { admin: { hostKey } },
  internalHost: { admin: { hostKey, user: "deploy" }, forwards: ssh },
};

describe("defaults", () => {
  test("are the settings of every host of their kind that does not have them itself", () => {
    const { publicHosts, internalHosts, tunnels } = parseConfig(
      bare(
        { ...complete, publicHost: { admin: { hostKey, port: 2200 }, clientAliveIntervalSec: 5 } },
        { admin: { user: "root" }, watchdogIntervalSec: 60 },
      ),
    );
    expect(publicHosts.gate).toMatchObject({
      clientAliveIntervalSec: 5,
      connection: { host: "198.18.0.2", port: 2200, user: "root", hostKey },
    });
    expect(internalHosts.nas).toMatchObject({ connection: { port: 22, user: "root", hostKey } });
    expect(tunnels.nas).toMatchObject({ watchdogIntervalSec: 60, forwards: ssh });
    expect(internalHosts.till).toMatchObject({ connection: { user: "deploy", hostKey } });
    expect(tunnels.till).toMatchObject({ watchdogIntervalSec: 15, forwards: ssh });
  });

  test("are merged into objects, down to a single forward", () => {
    const { tunnels } = parseConfig(
      bare(
        { ...complete, internalHost: { ...complete.internalHost, keepAlive: { preset: "conservative" } } },
        {
          keepAlive: { restartSec: 1 },
          forwards: { ssh: { remotePort: 2222 }, web: { remotePort: 8080, target: 80 } },
        },
      ),
    );
    expect(tunnels.nas).toMatchObject({
      keepAlive: { preset: "conservative", restartSec: 1 },
      forwards: { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 80 } },
    });
  });

  test("are replaced by a list, which is not merged", () => {
    const internalHost = { ...complete.internalHost, logins: [{ from: "alice", to: "alice" }] };
    const { tunnels } = parseConfig(
      bare({ ...complete, internalHost }, { logins: [{ from: "root", to: "root" }] }),
    );
    expect(tunnels.nas?.logins).toEqual([{ from: "root", to: "root" }]);
    expect(tunnels.till?.logins).toEqual([{ from: "alice", to: "alice" }]);
  });

  test("do not apply to what a host sets to null, which it then does not have", () => {
    const internalHost = {
      ...complete.internalHost,
      forwards: { ...ssh, web: { remotePort: 8080, target: 80 } },
      logins: [{ from: "alice", to: "alice" }],
      ...{ proxy: { url: "http://192.0.2.3:3128" }, watchdogIntervalSec: 60 },
    };
    const own = { logins: null, proxy: null, watchdogIntervalSec: null, forwards: { web: null } };
    const { tunnels } = parseConfig(bare({ ...complete, internalHost }, own));
    expect(tunnels.nas).toMatchObject({ watchdogIntervalSec: 15, forwards: ssh });
    expect(tunnels.nas).not.toHaveProperty("logins");
    expect(tunnels.nas).not.toHaveProperty("proxy");
    expect(Object.keys(tunnels.nas!.forwards)).toEqual(["ssh"]);
    const { proxy, logins } = internalHost;
    expect(tunnels.till).toMatchObject({ proxy, logins, watchdogIntervalSec: 60 });
    expect(Object.keys(tunnels.till!.forwards)).toEqual(["ssh", "web"]);
  });

  test("and a setting that is null without them is the same as one that is left out", () => {
    const admin = { ...complete.internalHost.admin, bastion: null, password: null };
    const nas = { admin, forwards: ssh, logins: null, keepAlive: { restartSec: null } };
    const settings = (nas: Changes) => ({
      publicHosts: { gate: { address: "198.18.0.2", ...complete.publicHost } },
      internalHosts: { nas: { address: "198.18.0.3", ...nas } },
    });
    expect(parseConfig(settings(nas)).tunnels).toEqual(parseConfig(settings(complete.internalHost)).tunnels);
    expect(parseConfig({ ...settings(nas), defaults: { publicHost: { allowUsers: null } } }).tunnels).toEqual(
      parseConfig(settings(nas)).tunnels,
    );
    expect(mistakesIn({ ...settings(nas), internalHosts: { nas: null } })).toEqual([
      "internalHosts.nas: found null; must be a map of settings",
    ]);
    expect(
      mistakesIn(settings({ ...nas, admin: { user: "deploy", hostKey: null, acceptAnyHostKey: 1 } })),
    ).toEqual(["internalHosts.nas.admin.acceptAnyHostKey: found 1; must be true or false"]);
  });

  test("of a private key and of tunnels stay if a host sets only another of these to null", () => {
    const admin = { privateKeyFile: "~/key", passphrase: "hunter2" };
    const merged = withDefaults({
      defaults: { internalHost: { admin, publicHosts: ["gate"] } },
      internalHosts: { nas: { admin: { privateKey: null }, tunnels: null }, till: { publicHosts: null } },
    });
    expect(merged.internalHosts).toEqual({ nas: { admin, publicHosts: ["gate"] }, till: { admin } });
  });

  test("may name the tunnels, unless a host says itself which it has", () => {
    const internalHost = { ...complete.internalHost, publicHosts: ["gate"], keys: "2026-Q4" };
    const { tunnels } = parseConfig(bare({ ...complete, internalHost }, { publicHost: "gate" }));
    expect(Object.keys(tunnels)).toEqual(["nas", "till-gate"]);
    expect(tunnels["till-gate"]?.keys).toBe("2026-Q4");
  });

  test("give a host's own bastion and jump host no password and no host key of another one", () => {
    const bastion = { address: "192.0.2.3", user: "jump", password: "hunter2", hostKey };
    const merged = withDefaults({
      defaults: { internalHost: { admin: { bastion }, proxyJump: bastion } },
      internalHosts: { nas: { admin: { bastion: { address: "x" } }, proxyJump: { address: "x" } }, till: {} },
    });
    const own = { address: "x", user: "jump" };
    expect(merged.internalHosts).toEqual({
      nas: { admin: { bastion: own }, proxyJump: own },
      till: { admin: { bastion }, proxyJump: bastion },
    });
  });

  test("do not log in to a host's own proxy", () => {
    const proxy = { url: "http://192.0.2.3:3128", user: "plant", password: "hunter2" };
    const own = { proxy: { url: "socks5://192.0.2.4:1080" } };
    const { tunnels } = parseConfig(
      bare({ ...complete, internalHost: { ...complete.internalHost, proxy } }, own),
    );
    expect(tunnels.nas?.proxy).toEqual(own.proxy);
    expect(tunnels.till?.proxy).toEqual(proxy);
  });

  test("do not mix with a private key of a host's own", async () => {
    const [own, common] = [newSshKey().privateKey, newSshKey().privateKey];
    const internalHost = { ...complete.internalHost, admin: { hostKey, privateKeyFile: "/nonexistent" } };
    const publicHost = { admin: { hostKey, privateKey: common } };
    const admin = { privateKey: own };
    const { internalHosts, publicHosts } = parseConfig({
      ...bare({ internalHost, publicHost }, { admin }),
      internalHosts: { nas: { address: "198.18.0.3", admin } },
    });
    const keyOf = (key: unknown) => promiseOf(pulumi.output(key as pulumi.Input<string>));
    expect(await keyOf(internalHosts.nas?.connection.privateKey)).toBe(own);
    expect(await keyOf(publicHosts.gate?.connection.privateKey)).toBe(common);
  });
});

describe("a mistake in the defaults is reported once, and where it stands:", () => {
  test.each<[string, Changes, string]>([
    [
      "an invalid value",
      { ...complete, internalHost: { ...complete.internalHost, watchdogIntervalSec: 1 } },
      "defaults.internalHost.watchdogIntervalSec: found 1; must be a whole number of seconds, 5 or more",
    ],
    [
      "an invalid value inside an object",
      { ...complete, publicHost: { admin: { hostKey, port: 0 } } },
      "defaults.publicHost.admin.port: found 0; must be a port from 1 to 65535",
    ],
    [
      "an unknown setting",
      { ...complete, publicHost: { admin: { hostKey, prot: 22 } } },
      "defaults.publicHost.admin.prot: there is no such setting; remove it, or correct its name",
    ],
    [
      "an unknown kind of host",
      { ...complete, hosts: {} },
      "defaults.hosts: there is no such setting; remove it, or correct its name",
    ],
    [
      "a rule between settings",
      { ...complete, publicHost: { admin: { hostKey }, allowUsers: ["alice"] } },
      `defaults.publicHost.allowUsers: found ["alice"]; must name the admin 'root', who would otherwise be locked out`,
    ],
    [
      "a key that cannot be read",
      { ...complete, publicHost: { admin: { hostKey, privateKeyFile: "/nonexistent" } } },
      "defaults.publicHost.admin: gate: the private key file /nonexistent cannot be read (ENOENT); correct privateKeyFile",
    ],
    [
      "a login in a list",
      { ...complete, internalHost: { ...complete.internalHost, logins: [{ from: "alice", to: "A b" }] } },
      "defaults.internalHost.logins.0.to: found \"A b\"; must be the name of an account: letters, digits, '_', '.' and '-', at most 32 characters, and not only digits",
    ],
  ])("%s", (_what, defaults, mistake) => {
    expect(mistakesIn(bare(defaults))).toEqual([mistake]);
  });

  test("text instead of a map", () => {
    expect(mistakesIn({ ...bare({}), defaults: "none" })).toContain(
      'defaults: found "none"; must be a map of settings',
    );
  });

  test("and a host's own mistake stays its own", () => {
    expect(mistakesIn(bare(complete, { watchdogIntervalSec: 1 }))).toEqual([
      "internalHosts.nas.watchdogIntervalSec: found 1; must be a whole number of seconds, 5 or more",
    ]);
    expect(mistakesIn(bare(complete, { admin: { constructor: 1 } }))).toEqual([
      "internalHosts.nas.admin.constructor: there is no such setting; remove it, or correct its name",
    ]);
  });
});
