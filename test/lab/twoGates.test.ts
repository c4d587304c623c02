import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprintOf } from "../../components/remote/fingerprint.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import type { Part } from "./support/settings.ts";
import { until } from "./support/until.ts";

/**
 * One internal host with tunnels to two public hosts, which Pulumi reaches through either. The tests are a story: each
 * continues from the one before.
 */
describe("an internal host with two public hosts", () => {
  let lab: Lab;
  let gateA: Host;
  let gateB: Host;
  let fresh: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  const ssh = { remotePort: 2222, target: 22 };
  const web = { remotePort: 8080, target: 80 };

  /** `a` is the host that has the name gate-a. */
  const configure = (changes: Part = {}, a: Part = labAdmin(lab, gateA), internal: Part = {}) =>
    stack.setConfig({
      publicHosts: { "gate-a": a, "gate-b": labAdmin(lab, gateB), ...changes },
      internalHosts: {
        nas: {
          ...labAdmin(lab, nas),
          admin: { ...labAdmin(lab, nas).admin, throughTunnel: "ssh" },
          publicHosts: ["gate-a", "gate-b"],
          forwards: { ssh },
          logins: [{ from: "root", to: "root" }],
          ...internal,
        },
      },
    });

  const typed = async (gate: Host) =>
    (await gate.run("ssh -o ConnectTimeout=3 nas hostname", { allowFailure: true })).stdout;
  const listens = async (gate: Host, port: number) =>
    (await gate.run(`ss -Hltn 'sport = :${port}'`)).stdout !== "";
  const pid = async (tunnel: string) =>
    (await nas.run(`systemctl show -P MainPID ssh-tunnel-${tunnel}`)).stdout;
  const id = fingerprintOf("2026-Q4").slice(0, 8);
  /** The ids of the keys of a tunnel and its login: each key's file, and the line that admits it. */
  const keys = async (tunnel: string, gate: Host) => {
    const places: [Host, string][] = [
      [nas, `ls /var/lib/tunnel-${tunnel}/.ssh/ssh-reverse-tunnel | grep 'key$'`],
      [gate, `cat /etc/ssh/ssh-reverse-tunnel/tunnel-${tunnel}.keys`],
      [gate, "ls /root/.ssh/ssh-reverse-tunnel | grep 'key$'"],
      [nas, `grep ${tunnel}-on /root/.ssh/authorized_keys`],
    ];
    const texts = await Promise.all(places.map(async ([host, command]) => (await host.run(command)).stdout));
    return texts.map((text) =>
      text
        .split("\n")
        .map((line) => (line.includes(id) ? id : line))
        .join(),
    );
  };
  /** What a run did, or nothing. */
  const changed = (changes: Record<string, number>) =>
    Object.fromEntries(Object.entries(changes).filter(([kind]) => kind !== "same"));

  beforeAll(async () => {
    lab = await Lab.up({ name: "two-gates", hosts: ["gate-a", "gate-b", "fresh", "nas"] });
    [gateA, gateB, fresh, nas] = ["gate-a", "gate-b", "fresh", "nas"].map((name) => lab.host(name)) as [
      Host,
      Host,
      Host,
      Host,
    ];
    before = { gateB: await gateB.snapshot(), fresh: await fresh.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { env: { PULUMI_CONTINUE_ON_ERROR: "true" } });
    await configure({}, labAdmin(lab, gateA), { admin: labAdmin(lab, nas).admin });
  });

  afterAll(() => Lab.clear("two-gates"));

  it("is reached from either, by the same name, each with a tunnel of its own", async () => {
    await stack.up();
    expect(await Promise.all([gateA, gateB].map(typed))).toEqual(["nas", "nas"]);
    expect(await pid("nas-gate-a")).not.toBe(await pid("nas-gate-b"));
    await nas.run(
      `nft add table inet nat; nft 'add chain inet nat in { type filter hook input priority 0; }'; nft add rule inet nat in iifname != lo ct state new drop`,
    );
    await configure();
    const { stdout } = await stack.up();
    expect(stdout).toContain("nas (through its tunnel to gate-a or gate-b)");
    expect(changed((await stack.up()).changes)).toEqual({});
  });

  it("has both tunnels changed in one run, over the first, which is changed last", async () => {
    await configure({}, labAdmin(lab, gateA), { forwards: { ssh, web } });
    const { stdout } = await stack.up();
    const other = stdout.search(/ nas-gate-b-on\.nas-confirm updated /);
    expect(other).toBeGreaterThan(-1);
    expect(stdout.search(/ nas-gate-a-on\.nas-start updating /)).toBeGreaterThan(other);
    expect([await listens(gateA, 8080), await listens(gateB, 8080)]).toEqual([true, true]);
    expect(await Promise.all([gateA, gateB].map(typed))).toEqual(["nas", "nas"]);
  });

  it("is reached from the other, undisturbed, while one is off, and nothing is planned because of that", async () => {
    const old = await pid("nas-gate-b");
    await gateA.powerCut();
    expect(await typed(gateB)).toBe("nas");
    expect(await pid("nas-gate-b")).toBe(old);
    const { changes, diagnostics } = await stack.up();
    expect(changed(changes)).toEqual({});
    expect(diagnostics.join("\n")).toContain(
      "nas does not answer through its tunnel 'nas-gate-a' to gate-a:",
    );
  });

  it("gets new keys for the other tunnel while one is off, which keeps a pair that works and gets its own once it is back", async () => {
    const old = await pid("nas-gate-b");
    await stack.setConfig({ keys: "2026-Q4" });
    expect(await failedUp(stack)).toContain("gate-a");
    expect(await keys("nas-gate-b", gateB)).toEqual([id, id, id, id]);
    expect(await pid("nas-gate-b")).toBe(old);
    await gateA.boot();
    await until("the other tunnel, with its earlier keys", 60, async () => (await typed(gateA)) === "nas");
    expect(
      (await nas.run("cat /var/lib/tunnel-nas-gate-a/.ssh/ssh-reverse-tunnel/*.conf")).stdout,
    ).not.toContain(id);
    await stack.up();
    expect(await keys("nas-gate-a", gateA)).toEqual([id, id, id, id]);
    await nas.run("systemctl restart ssh-tunnel-nas-gate-a ssh-tunnel-nas-gate-b");
    for (const gate of [gateA, gateB]) {
      await until("a login with its new keys", 60, async () => (await typed(gate)) === "nas");
    }
    await gateA.powerCut();
  });

  it("gets a change through the other while one is off, and only what belongs to that one fails", async () => {
    await configure({}, labAdmin(lab, gateA), { forwards: { ssh } });
    expect(await failedUp(stack)).toContain("gate-a");
    expect(await listens(gateB, 8080)).toBe(false);
    expect(await typed(gateB)).toBe("nas");
  });

  it("gets a fresh host in the place of the one that is off, applied through the other", async () => {
    const old = await pid("nas-gate-b");
    await configure({}, labAdmin(lab, fresh), { forwards: { ssh } });
    await stack.up();
    expect(await Promise.all([fresh, gateB].map(typed))).toEqual(["nas", "nas"]);
    expect(await pid("nas-gate-b")).toBe(old);
    expect(changed((await stack.up()).changes)).toEqual({});
  });

  it("loses one that is off and will not come back, and keeps the other tunnel as it is", async () => {
    const old = await pid("nas-gate-b");
    await fresh.powerCut();
    await configure({}, { ...labAdmin(lab, fresh), gone: true }, { forwards: { ssh } });
    await stack.up();
    const ours = (await nas.run("ls /etc/systemd/system; getent passwd | grep ^tunnel-")).stdout;
    expect(ours).toContain("nas-gate-b");
    expect(ours).not.toContain("nas-gate-a");
    expect(changed((await stack.up()).changes)).toEqual({});
    await stack.setConfig({
      publicHosts: { "gate-b": labAdmin(lab, gateB) },
      internalHosts: {
        nas: {
          ...labAdmin(lab, nas),
          admin: { ...labAdmin(lab, nas).admin, throughTunnel: "ssh" },
          publicHosts: ["gate-b"],
          forwards: { ssh },
          logins: [{ from: "root", to: "root" }],
        },
      },
    });
    await stack.up();
    expect(await pid("nas-gate-b")).toBe(old);
    expect(await typed(gateB)).toBe("nas");
    const urns = (await stack.export()).deployment as { resources: { urn: string }[] };
    expect(urns.resources.filter(({ urn }) => /gate-a/.test(urn))).toEqual([]);
  });

  it("is destroyed with both tunnels, also if the last up did not come through the one that the state has", async () => {
    await fresh.boot();
    await configure({}, labAdmin(lab, fresh), { forwards: { ssh } });
    await stack.up();
    await configure({}, labAdmin(lab, fresh), { forwards: { ssh, web } });
    await stack.up();
    await configure({}, { ...labAdmin(lab, fresh), skip: true }, { forwards: { ssh, web } });
    expect(changed((await stack.up()).changes)).toEqual({});
    await nas.run("nft delete table inet nat", { allowFailure: true });
    await stack.destroy();
    await until(
      "the internal host to be clean",
      60,
      async () => (await leftovers(nas, before.nas!)).length === 0,
    );
    expect(await leftovers(gateB, before.gateB!)).toEqual([]);
    expect(await leftovers(fresh, before.fresh!)).toEqual([]);
  });
});
