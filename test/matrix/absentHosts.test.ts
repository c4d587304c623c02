import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import program from "../../index.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { project } from "../../tools/mocks.ts";
import { type FakeHost, startFakeHost } from "./fakeHosts.ts";

// The whole program with the real engine, on hosts that count who asks them.

const names = ["gate", "gate-b", "nas", "till"] as const;
let hosts: Record<(typeof names)[number], FakeHost>;
let directory: string;
let stack: LabStack;

beforeEach(async () => {
  hosts = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await startFakeHost(name)])),
  ) as typeof hosts;
  directory = await mkdtemp(join(tmpdir(), "absent-"));
  stack = await openStack({ project, stack: "test", directory, program });
});
afterEach(async () => {
  for (const host of Object.values(hosts)) host.close();
  await rm(directory, { recursive: true });
});

const host = (name: (typeof names)[number], own: object = {}) => ({
  [name]: { address: "127.0.0.1", admin: hosts[name].admin, ...own },
});
const ssh = { remotePort: 2222, target: 22 };
const web = { remotePort: "auto", target: 80, listen: "all" };
const usual = { forwards: { ssh, web }, logins: [{ from: "root", to: "root" }] };
const nas = (own: object) => host("nas", { ...usual, ...own });
/** Another internal host, since there must be one. */
const till = () => host("till", { publicHost: "gate", forwards: { ssh: { ...ssh, remotePort: 2300 } } });

/** The next run, with these settings. */
async function up(publicHosts: object, internalHosts: object) {
  for (const each of Object.values(hosts)) each.visits();
  await stack.setConfig({ publicHosts, internalHosts });
  return stack.up();
}

const both = () => ({ ...host("gate"), ...host("gate-b") });
const onBoth = { publicHosts: ["gate", "gate-b"] };

describe("a public host that is gone", () => {
  const gone = () => ({ ...host("gate", { gone: true }), ...host("gate-b") });

  it("is not connected to if the tunnel has moved to another one, in the same run or before", async () => {
    await up(both(), nas({ publicHost: "gate" }));
    hosts.gate.turnOff();
    // As somebody does who does not know of `gone`.
    await expect(up(host("gate-b"), nas({ publicHost: "gate-b" }))).rejects.toThrow();
    await up(gone(), nas({ publicHost: "gate-b" }));
    expect(hosts.gate.visits()).toEqual([]);
    await up(host("gate-b"), nas({ publicHost: "gate-b" }));
    expect(hosts.gate.visits()).toEqual([]);
  });

  it("is not connected to if logins and the last open forward, or the tunnel, go in the same run", async () => {
    await up(both(), nas(onBoth));
    hosts.gate.turnOff();
    await up(gone(), nas({ ...onBoth, logins: undefined, forwards: { ssh } }));
    expect(hosts.gate.visits()).toEqual([]);
    await up(gone(), nas({ publicHosts: ["gate-b"] }));
    expect(hosts.gate.visits()).toEqual([]);
    await up(host("gate-b"), nas({ publicHosts: ["gate-b"] }));
    expect(hosts.gate.visits()).toEqual([]);
  });
});

describe("an internal host that is gone", () => {
  it("is not connected to if its tunnel has another name or another public host since", async () => {
    await up(both(), nas({ publicHost: "gate" }));
    hosts.nas.turnOff();
    await up(both(), nas({ gone: true, publicHosts: ["gate-b"] }));
    expect(hosts.nas.visits()).toEqual([]);
    expect(hosts.gate.visits()).toContain("remove nas-on.gate-admit");
    await up(both(), till());
    expect(hosts.nas.visits()).toEqual([]);
  });
});

describe("an internal host that is skipped", () => {
  it("is left alone, and so are its tunnels, however the settings name them now", async () => {
    await up(both(), nas(onBoth));
    hosts.nas.turnOff();
    const changes: [publicHosts: object, own: object][] = [
      [both(), { publicHosts: ["gate"] }],
      [both(), { publicHost: "gate" }],
      [both(), { tunnels: { nas: { publicHost: "gate" } } }],
      [host("gate"), { publicHosts: ["gate"] }],
    ];
    for (const [publicHosts, own] of changes) {
      const result = await up(publicHosts, nas({ skip: true, ...own }));
      expect(Object.keys(result.changes)).toEqual(["same"]);
      expect(names.flatMap((name) => hosts[name].visits())).toEqual([]);
    }
  });
});

describe("a public host that is skipped", () => {
  it("keeps the tunnel that an internal host leaves out, or the whole host, until it is not skipped any more", async () => {
    await up(both(), nas(onBoth));
    const skipped = { ...host("gate", { skip: true }), ...host("gate-b") };
    await up(skipped, nas({ publicHosts: ["gate-b"] }));
    expect(hosts.gate.visits()).toEqual([]);
    expect(hosts.nas.visits().filter((visit) => visit.startsWith("remove"))).toEqual([]);
    await up(both(), nas({ publicHosts: ["gate-b"] }));
    expect(hosts.gate.visits()).toContain("remove nas-gate-on.gate-admit");
    expect(hosts.nas.visits()).toContain("remove nas-gate-on.nas-start");
    expect(hosts["gate-b"].visits()).toEqual([]);
    const other = { ...host("gate"), ...host("gate-b", { skip: true }) };
    await up(other, till());
    expect([...hosts["gate-b"].visits(), ...hosts.nas.visits()]).toEqual([]);
  });
});
