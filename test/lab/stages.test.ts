import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { type Part, tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

/**
 * Changes to a tunnel over direct connections: new things are added first, and what they replace is removed once they
 * are confirmed. The same through the tunnel is in throughTunnel.test.ts. The tests are a story: each continues from
 * the one before.
 */
describe("a change to a tunnel", () => {
  let lab: Lab;
  let gate: Host;
  let other: Host;
  let nas: Host;
  let stack: LabStack;
  let events: EngineEvent[] = [];
  const before = new Map<Host, Snapshot>();

  const ssh = { remotePort: 2222, target: 22 };
  const next = { remotePort: 2230, target: 22 };
  const logins = [{ from: "root", to: "root" }];
  /** Nothing listens there, so the tunnel cannot come up. */
  const broken = { sshPort: 2299 };

  const settings = (
    changes: { nas?: Part; forwards?: Part; logins?: Part[] | undefined; gate?: Part } = {},
  ) => {
    const plain = tunnelSettings(lab, gate, nas, {
      forwards: { ssh },
      logins,
      ...changes,
      nas: { publicHost: "gate", timeoutSec: 5, ...changes.nas },
    });
    return { ...plain, publicHosts: { ...(plain["publicHosts"] as Part), other: labAdmin(lab, other) } };
  };
  const configure = (changes?: Parameters<typeof settings>[0]) => stack.setConfig(settings(changes));

  const banner = async (host = gate, alias = "nas") =>
    (await host.run(`ssh -o ConnectTimeout=2 ${alias} echo through`, { allowFailure: true })).stdout;
  const keys = async () => (await gate.run("cat /etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys")).stdout;
  const tunnelPid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  /** Everything of ours on a host that contains this text, including records. */
  const tracesOf = async (host: Host, text: string) =>
    (
      await host.run(
        `grep -rlF -e '${text}' /var/lib/ssh-reverse-tunnel /etc/ssh/ssh-reverse-tunnel /root/.ssh /home/*/.ssh /etc/systemd/system`,
        { allowFailure: true },
      )
    ).stdout;

  beforeAll(async () => {
    lab = await Lab.up({ name: "stages", hosts: ["gate", "other", "nas"] });
    [gate, other, nas] = [lab.host("gate"), lab.host("other"), lab.host("nas")];
    for (const host of [gate, other, nas]) before.set(host, await host.snapshot());
    stack = await openProgram(lab, { config: settings(), onEvent: (event) => events.push(event) });
    await stack.up();
  });

  afterAll(() => Lab.clear("stages"));

  it("takes two visits to each host, and one more for its logins", async () => {
    const { deployment } = (await stack.export()) as unknown as {
      deployment: { resources: { urn: string }[] };
    };
    const ofTunnel = deployment.resources
      .map(({ urn }) => urn.split("::"))
      .filter(([, , type]) => type!.includes("ReverseTunnel$"))
      .map(([, , , name]) => name);
    expect(ofTunnel.sort()).toEqual([
      "nas-finish",
      "nas-on.gate-admit",
      "nas-on.gate-login-keys",
      "nas-on.gate-settle",
      "nas-prepare",
      "nas-start",
    ]);
  });

  it("appears in a preview of another port as the port and a hash of it, in at most four updates", async () => {
    const web = { remotePort: "auto", target: 80 };
    await configure({ forwards: { ssh, web } });
    await stack.up();
    await configure({ forwards: { ssh: next, web } });
    events = [];
    const { changes } = await stack.preview();
    expect(changes.update).toBeLessThanOrEqual(4);
    expect(Object.keys(changes).sort()).toEqual(["same", "update"]);
    const updates = events.flatMap(({ resourcePreEvent }) =>
      resourcePreEvent?.metadata.op === "update" ? [resourcePreEvent.metadata] : [],
    );
    expect(updates.map(({ urn }) => urn.split("::").pop()).sort()).toEqual([
      "nas-finish",
      "nas-on.gate-admit",
      "nas-on.gate-settle",
      "nas-start",
    ]);
    const hashes = /^(FINGERPRINT|TOKENS)=.*/;
    for (const { old, new: planned } of updates) {
      const [was, is] = [old, planned].map((state) => (state!.inputs as { stdin: string }).stdin.split("\n"));
      const changed = is!.filter((line) => !was!.includes(line));
      expect(changed.length).toBeGreaterThan(0);
      expect(changed.filter((line) => !/2230|^(FINGERPRINT|TOKENS)='[0-9a-f]{16}'$/.test(line))).toEqual([]);
      // Everything else is in its place, too.
      expect(is!.map((line) => line.replaceAll("2230", "2222").replace(hashes, ""))).toEqual(
        was!.map((line) => line.replace(hashes, "")),
      );
    }
    await configure();
    await stack.up();
  });

  describe("that fails because the tunnel does not come up with it", () => {
    it.each<[string, Parameters<typeof settings>[0], trace: string]>([
      ["a port", { forwards: { ssh: next } }, "2230"],
      ["an additional forward", { forwards: { ssh, next } }, "2230"],
      ["a target", { forwards: { ssh: { remotePort: 2222, target: "127.0.0.2:22" } } }, "127.0.0.2"],
      ["the account", { nas: { account: "alice" } }, "alice@nas"],
      ["an additional login", { logins: [...logins, { from: "alice", to: "alice" }] }, "alice@gate"],
    ])(
      "leaves the old tunnel working, and nothing of the new one once it is reverted: %s",
      async (_, change, trace) => {
        await configure({ ...change, gate: broken });
        expect(await failedUp(stack)).toContain("the tunnel did not come up with its new settings in 5s");
        await expect.poll(() => banner(), { timeout: 120_000 }).toBe("through");
        await configure();
        await stack.up();
        expect(await banner()).toBe("through");
        for (const host of [gate, nas]) expect(await tracesOf(host, trace), host.name).toBe("");
        expect(await keys()).toContain('permitlisten="127.0.0.1:2222"');
      },
    );
  });

  it("leaves the logins working if only its last check fails, and a revert leaves nothing of it", async () => {
    // Nothing answers at the target, and the tunnel itself works.
    const unanswered = { remotePort: 2231, target: 9, protocol: "ssh" };
    await configure({ forwards: { ssh: next, unanswered } });
    expect(await failedUp(stack)).toContain("no SSH banner comes back from 127.0.0.1:9");
    expect(await banner()).toBe("through");
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    for (const port of ["2230", "2231"]) {
      for (const host of [gate, nas]) expect(await tracesOf(host, port), host.name).toBe("");
    }
  });

  describe("during which a script's connection is cut", () => {
    const cut = (host: Host) => host.run("pkill -KILL -f '[s]shd: root@notty'");

    it("is undone on the public host, so that a revert leaves nothing of it", async () => {
      await gate.run("systemd-run --quiet --unit holder flock /run/ssh-reverse-tunnel.lock sleep 1000");
      await configure({ forwards: { ssh, next } });
      const run = failedUp(stack);
      await until("a script to wait", 60, async () => {
        return (await gate.run("pgrep -f '[f]lock -w'", { allowFailure: true })).exitCode === 0;
      });
      await cut(gate);
      await gate.run("systemctl stop holder");
      await run;
      await until("the script to end", 60, async () => {
        return (await gate.run("ls /run/ssh-reverse-tunnel.lock", { allowFailure: true })).exitCode !== 0;
      });
      expect(await keys()).not.toContain("2230");
      await configure();
      await stack.up();
      expect(await tracesOf(gate, "2230")).toBe("");
    });

    it("is rolled back on the internal host, so that a revert finds the old tunnel", async () => {
      // The tunnel cannot connect again before this is gone.
      await gate.run(
        `nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; }'; nft add rule inet t c ip saddr ${nas.address} tcp dport 22 ct state new reject with tcp reset`,
      );
      await configure({ forwards: { ssh: next }, nas: { timeoutSec: 60 } });
      const run = failedUp(stack);
      await until("the change", 60, async () => {
        const active = "ls /var/lib/ssh-reverse-tunnel-dev-tunnel-nas-rollback/active";
        return (await nas.run(active, { allowFailure: true })).exitCode === 0;
      });
      await cut(nas);
      await gate.run("nft delete table inet t");
      await run;
      await expect.poll(() => banner(), { timeout: 120_000 }).toBe("through");
      await configure();
      await stack.up();
      expect(await banner()).toBe("through");
      for (const host of [gate, nas]) expect(await tracesOf(host, "2230"), host.name).toBe("");
    });
  });

  it("keeps the old login until the new one is in place", async () => {
    const again = [{ from: "root", to: "root", alias: "again" }];
    await configure({ logins: again, gate: broken });
    await failedUp(stack);
    await expect.poll(() => banner(), { timeout: 120_000 }).toBe("through");
    // The tunnel is confirmed, but the public host does not know the new login.
    await configure({ logins: again });
    await gate.run("mkdir /root/.ssh/ssh-reverse-tunnel/again.conf");
    await failedUp(stack);
    expect(await banner()).toBe("through");
    await gate.run("rmdir /root/.ssh/ssh-reverse-tunnel/again.conf");
    await stack.up();
    expect(await banner(gate, "again")).toBe("through");
    expect((await nas.run("cat ~/.ssh/authorized_keys")).stdout).not.toContain("root.nas");
    expect((await gate.run("ls /root/.ssh/ssh-reverse-tunnel")).stdout).not.toContain("nas.");
    await configure();
    await stack.up();
  });

  it("ends a login that is no longer in the settings, although another account has broken its own", async () => {
    const alice = { from: "alice", to: "alice" };
    await configure({ logins: [...logins, alice] });
    await stack.up();
    // ssh reads this first, and the file is hers.
    await gate.run(
      `su - alice -c 'cd .ssh && (printf "Host nas\n Port 1\n" && cat config) >new && mv new config'`,
    );
    await configure({ logins: [alice] });
    expect(await failedUp(stack)).toContain("'ssh nas' of 'alice' does not get in: ");
    expect(await tracesOf(nas, "login-root.")).toBe("");
    expect((await gate.run("ls -A /root/.ssh")).stdout).not.toContain("ssh-reverse-tunnel");
    await gate.run("su - alice -c 'sed -i 1,2d .ssh/config'");
    await stack.up();
    expect((await gate.run("su - alice -c 'ssh nas id -un'")).stdout).toBe("alice");
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
  });

  it("permits both ports until the tunnel uses the new one, and then only that", async () => {
    await configure({ forwards: { ssh: next }, gate: broken });
    await failedUp(stack);
    expect(await keys()).toMatch(/permitlisten="127\.0\.0\.1:2230".*permitlisten="127\.0\.0\.1:2222"/);
    await configure({ forwards: { ssh: next } });
    await stack.up();
    expect(await keys()).toContain('permitlisten="127.0.0.1:2230"');
    expect(await tracesOf(gate, "2222")).toBe("");
    expect(await banner()).toBe("through");
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    expect(await tracesOf(gate, "2230")).toBe("");
  });

  it("to another target does not check the ports again", async () => {
    await configure({ forwards: { ssh: { remotePort: 2222, target: "127.0.0.2:22" } } });
    await stack.up();
    expect(await banner()).toBe("through");
    expect((await nas.run("systemctl cat ssh-tunnel-nas")).stdout).toContain("127.0.0.2:22");
    await configure();
    await stack.up();
  });

  it("to another account leaves nothing of the account before", async () => {
    await configure({ nas: { account: "alice" } });
    const { changes } = await stack.up();
    expect(changes).toEqual({ same: changes["same"], update: 5 });
    expect((await nas.run("systemctl show -P User ssh-tunnel-nas")).stdout).toBe("alice");
    expect(await banner()).toBe("through");
    expect((await nas.run("getent passwd tunnel-nas", { allowFailure: true })).stdout).toBe("");
    expect((await keys()).split("\n")).toHaveLength(1);
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    expect((await nas.run("ls -A ~alice/.ssh")).stdout).toBe("authorized_keys");
    expect((await keys()).split("\n")).toHaveLength(1);
  });

  it("that adds and removes a login and a forward causes no restart for the login", async () => {
    const pid = await tunnelPid();
    await configure({ logins: [...logins, { from: "alice", to: "alice" }] });
    await stack.up();
    expect((await gate.run("su - alice -c 'ssh nas id -un'")).stdout).toBe("alice");
    expect(await tunnelPid()).toBe(pid);
    await configure({ forwards: { ssh, next }, logins: undefined });
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2230'")).stdout).toContain("127.0.0.1:2230");
    expect((await gate.run("ls -A ~alice/.ssh /root/.ssh")).stdout).not.toContain("ssh-reverse-tunnel");
    for (const account of ["root", "alice"]) {
      expect((await nas.run(`cat ~${account}/.ssh/authorized_keys`)).stdout).not.toContain(
        "ssh-reverse-tunnel",
      );
    }
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    expect(await tracesOf(gate, "2230")).toBe("");
  });

  it("to another public host moves the tunnel, and then removes everything from the one before", async () => {
    await configure({ nas: { publicHost: "other" } });
    await stack.up();
    expect(await banner(other)).toBe("through");
    expect(await tracesOf(gate, "tunnel-nas")).toBe("");
    expect((await gate.run("getent passwd tunnel-nas", { allowFailure: true })).stdout).toBe("");
    await configure();
    await stack.up();
    expect(await banner()).toBe("through");
    expect(await tracesOf(other, "tunnel-nas")).toBe("");
  });

  it("is refused if the admin connects through that tunnel and the settings do not say so", async () => {
    const pid = await tunnelPid();
    const admin = labAdmin(lab, nas).admin;
    const bastion = { address: gate.address, ...labAdmin(lab, gate).admin };
    const through = { address: "127.0.0.1", admin: { ...admin, port: 2222, bastion } };
    await configure({ nas: { ...through, keepAlive: { serverAliveIntervalSec: 4 } } });
    expect(await failedUp(stack)).toContain("this session comes through the tunnel that is to be changed");
    expect(await tunnelPid()).toBe(pid);
    await configure();
    await stack.up();
  });

  it("leaves nothing behind after destroy", async () => {
    await stack.destroy();
    for (const [host, snapshot] of before) expect(await leftovers(host, snapshot), host.name).toEqual([]);
  });
});
