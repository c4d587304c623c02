import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { journal } from "./support/journal.ts";
import { leftovers } from "./support/leftovers.ts";
import { remoteScripts } from "./support/remoteScripts.ts";
import { sometimes } from "./support/sample.ts";
import { type Part, tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

/**
 * Changes to an internal host that can be reached only through its tunnel, over that tunnel. The tests are a story:
 * each continues from the one before.
 */
describe("an internal host that is reached through its own tunnel", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  const ssh = { remotePort: 2222, target: 22 };

  const configure = (internal: Part = {}, forwards: Part = { ssh }, publicHost: Part = {}) =>
    stack.setConfig(
      tunnelSettings(lab, gate, nas, {
        gate: publicHost,
        nas: { admin: { ...labAdmin(lab, nas).admin, throughTunnel: "ssh" }, ...internal },
        forwards,
        logins: [{ from: "root", to: "root", via: Object.hasOwn(forwards, "ssh") ? "ssh" : "next" }],
      }),
    );

  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true })).stdout;
  const tunnelPid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const conf = async () => (await nas.run("cat /var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas.conf")).stdout;
  const key = async () => (await gate.run("cat /etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys")).stdout;
  const serviceScript = async () =>
    (await remoteScripts(stack)).find(({ name }) => name === "nas-start")?.stdin ?? "";
  const rollback = "ssh-reverse-tunnel-dev-tunnel-nas-rollback";
  const trials = async () =>
    (
      await nas.run(
        `ls -d /var/lib/*rollback /etc/systemd/system/*rollback*; systemctl list-units --plain --no-legend '*rollback*'`,
        { allowFailure: true },
      )
    ).stdout;

  beforeAll(async () => {
    lab = await Lab.up({ name: "through", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(() => Lab.clear("through"));

  it("is first set up over a direct connection, and is then reached only through its tunnel", async () => {
    await stack.up();
    const pid = await tunnelPid();
    await nas.run(
      `nft add table inet nat; nft 'add chain inet nat in { type filter hook input priority 0; }'; nft add rule inet nat in iifname != lo ct state new drop`,
    );
    await configure();
    const { changes } = await stack.up();
    expect(changes.update).toBeGreaterThan(3);
    expect(await tunnelPid()).toBe(pid);
  });

  it("gets a changed client configuration: the tunnel restarts after the script, and a new login confirms it", async () => {
    const pid = await tunnelPid();
    await configure({ keepAlive: { serverAliveIntervalSec: 5 } });
    await stack.up();
    expect(await conf()).toContain("ServerAliveInterval 5");
    expect(await tunnelPid()).not.toBe(pid);
    expect(await banner()).toBe("through");
    expect(await trials()).toBe("");
  });

  sometimes.it("gets a new forward, and loses it again", async () => {
    await configure({}, { ssh, more: { remotePort: 2223, target: 22 } });
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2223'")).stdout).toContain("127.0.0.1:2223");
    await configure();
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2223'")).stdout).toBe("");
    expect(await key()).not.toContain("2223");
    expect(await banner()).toBe("through");
  });

  it("changes to another port: first it has both, then only the new one", async () => {
    const next = { remotePort: 2230, target: 22 };
    await configure({}, { ssh, next });
    await stack.up();
    const admin = { ...labAdmin(lab, nas).admin, throughTunnel: "next" };
    await configure({ admin }, { next });
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2222'")).stdout).toBe("");
    expect(await banner()).toBe("through");
    await configure({ admin }, { ssh, next });
    await stack.up();
    await configure();
    await stack.up();
  });

  it("runs its tunnel as another account, then as the original one again, each time with another key", async () => {
    const restarts = async () => (await journal(nas, "-u ssh-tunnel-nas")).match(/^Started/gm)!.length;
    const before = await restarts();
    await configure({ account: "alice" });
    await stack.up();
    expect((await nas.run("systemctl show -P User ssh-tunnel-nas")).stdout).toBe("alice");
    expect(await banner()).toBe("through");
    expect((await nas.run("getent passwd tunnel-nas", { allowFailure: true })).stdout).toBe("");
    // Once, and not while the script that changed it still runs.
    expect(await restarts()).toBe(before + 1);
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    expect((await nas.run("ls -A ~alice/.ssh")).stdout).toBe("authorized_keys");
  });

  it("keeps its tunnel if it is applied again while its removal waits for the end of a session", async () => {
    const service = await serviceScript();
    const waits = async () =>
      (await nas.run("kill -0 $(cat /run/ssh-reverse-tunnel-dev.later)", { allowFailure: true })).exitCode ===
      0;
    const session = gate.run("ssh nas 'sh -s -- remove && sleep 4'", { input: service });
    await until("the removal to wait", 20, waits);
    await nas.run("sh -s -- apply", { input: service });
    await session;
    await until("the removal to be called off", 20, async () => !(await waits()));
    expect(await banner()).toBe("through");
    await nas.run("rm -f /run/ssh-reverse-tunnel-dev.later");
  });

  sometimes.it(
    "has its old unit, key and forward back within a minute of a change that prevents the tunnel from coming up",
    async () => {
      const [oldConf, oldKey] = [await conf(), await key()];
      // An address that gate does not have: sshd cannot listen there. The other forward works, so Pulumi can still log in.
      await configure({}, { ssh, lost: { remotePort: 2225, target: 22, listen: "203.0.113.9" } });
      const shown = await failedUp(stack);
      // The message depends on whether its last login came before or after the old tunnel was back.
      expect(shown).toMatch(
        /nas \(through its tunnel to gate\)(: the tunnel did not come up| cannot be reached on port 2222)/,
      );
      await expect.poll(trials, { timeout: 120_000 }).toBe("");
      await expect.poll(banner, { timeout: 120_000 }).toBe("through");
      expect((await nas.run("systemctl cat ssh-tunnel-nas")).stdout).not.toContain("2225");
      expect(await conf()).toBe(oldConf);
      expect(await key()).toContain('permitlisten="127.0.0.1:2222"');
      await configure();
      await stack.up();
      expect(await key()).toBe(oldKey);
      expect(await banner()).toBe("through");
    },
  );

  it("has its old tunnel back if the runner dies before it could confirm, and the next up goes on", async () => {
    const pid = await tunnelPid();
    await configure({}, { ssh }, { sshPort: 2299 }); // nothing listens there
    const run = failedUp(stack);
    await expect.poll(conf, { timeout: 120_000 }).toContain("Port 2299");
    await expect.poll(tunnelPid, { timeout: 120_000 }).not.toBe(pid);
    // As its timer does a minute after the change. Only where that is over already, and the unit gone, may it fail.
    await nas.run(
      `systemctl start ${rollback}.service && { systemctl stop ${rollback}.timer || :; } || ! systemctl cat ${rollback}.service`,
    );
    await expect.poll(banner, { timeout: 120_000 }).toBe("through");
    await run;
    await configure();
    await stack.up();
    expect(await conf()).not.toContain("2299");
    expect(await trials()).toBe("");
  });

  it("has its old tunnel back after a power cut in the middle of a trial", async () => {
    const service = await serviceScript();
    await nas.run("sh -s -- apply", {
      input: service.replace("ServerAliveInterval 3", "ServerAliveInterval 7"),
    });
    expect(await conf()).toContain("ServerAliveInterval 7");
    await nas.powerCut();
    await nas.boot();
    expect(await conf()).toContain("ServerAliveInterval 3");
    await expect.poll(banner, { timeout: 120_000 }).toBe("through");
    expect(await trials()).toBe("");
  });

  it("leaves nothing behind after a destroy over the tunnel that it removes", async () => {
    await nas.run("nft delete table inet nat", { allowFailure: true });
    await stack.destroy();
    await expect.poll(() => leftovers(nas, before.nas!), { timeout: 120_000 }).toEqual([]);
    await expect.poll(() => leftovers(gate, before.gate!), { timeout: 120_000 }).toEqual([]);
  });
});
