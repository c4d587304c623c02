import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { sshAsUser } from "./support/ssh.ts";
import { until } from "./support/until.ts";

/** A public host that one stack manages, and another one has a tunnel to. */
describe("on a public host that another stack manages,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let before: Record<string, Snapshot>;
  let manager: LabStack;
  let site: LabStack;
  /** Another site's, which is at the same host. */
  let twin: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "managed-by", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    // In one state, as a reference to a stack needs.
    const directory = `${lab.directory}/stacks`;
    manager = await openProgram(lab, { stack: "public", directory, config: { publicHosts: managed() } });
    site = await openProgram(lab, { stack: "site", directory, config: tunnel("nas") });
    twin = await openProgram(lab, { stack: "twin", directory, config: tunnel("nas") });
  });

  afterAll(() => Lab.clear("managed-by"));

  const managed = (more: object = {}) => ({
    gate: {
      ...labAdmin(lab, gate),
      ...{ sshPort: 2022, listenOnSshPort: true, allowUsers: ["root", "alice"] },
      ...more,
    },
  });
  /** A site's settings. */
  const tunnel = (name: string) => ({
    // Its address, port and host key are those that the other stack knows.
    publicHosts: {
      gate: { managedBy: "public", admin: { privateKeyFile: labAdmin(lab, gate).admin.privateKeyFile } },
    },
    internalHosts: {
      [name]: {
        ...labAdmin(lab, nas),
        forwards: { ssh: { remotePort: 2222, target: 22 } },
        logins: [{ from: "root", to: "root" }],
      },
    },
  });
  const onGate = async (command: string) => (await gate.run(command)).stdout;
  const works = () =>
    until("the tunnel", 60, async () => {
      const { stdout } = await gate.run("ssh -o ConnectTimeout=2 nas hostname", { allowFailure: true });
      return stdout === "nas";
    });
  /** Whether a tunnel that begins anew comes in. */
  const comesBack = async () => {
    await nas.run("systemctl restart ssh-tunnel-nas");
    await works();
  };
  const evictStale = "ssh-reverse-tunnel-public/bin/evict-stale";

  it("a preview reports in one sentence that the other stack has never been up", async () => {
    await expect(site.preview()).rejects.toThrow(
      "publicHosts.gate.managedBy: found \"public\"; must be a stack that manages this host: it has no outputs yet; run 'pulumi up' in that stack first",
    );
    const result = await manager.up();
    expect(JSON.stringify(result.outputs)).not.toContain("PRIVATE KEY");
  });

  it("a stack adds its tunnel, and neither sshd's configuration nor anything else that is for all", async () => {
    const server =
      "sshd -T; cat /etc/ssh/sshd_config.d/*; systemctl show -P MainPID ssh; journalctl -q -u ssh -o cat | grep -c SIGHUP";
    const configured = await onGate(server);
    const { stdout } = await site.up();
    await works();
    expect(await onGate(server)).toBe(configured);
    expect(stdout).not.toContain("gate-server");
    expect(await onGate("ls /var/lib/ssh-reverse-tunnel/ssh-reverse-tunnel-site")).toBe(
      "nas-on.gate-admit\nnas-on.gate-login-keys\nnas-on.gate-settle",
    );
    expect(await onGate("ss -Htn state established 'sport = :2022' | wc -l")).not.toBe("0");
    expect((await sshAsUser(lab, "-l", "admin", "gate", "id -un")).stdout).toBe("");
    for (const stack of [site, manager]) {
      const { changes } = await stack.up();
      expect(Object.keys(changes)).toEqual(["same"]);
    }
  });

  it("a second site can have neither the name of the first one's tunnel nor its port, and leaves it as it is", async () => {
    const all = "find /var/lib/ssh-reverse-tunnel/*-site /etc/ssh -type f -exec cksum {} + | sort";
    const before = await onGate(all);
    expect(await failedUp(twin)).toContain(
      "belongs to the stack ssh-reverse-tunnel-site; choose another name",
    );
    await twin.setConfig(tunnel("other"));
    expect(await failedUp(twin)).toContain("port 2222 of the forward 'ssh' belongs to another tunnel (");
    await twin.destroy();
    expect(await onGate(all)).toBe(before);
    await comesBack();
  });

  it("a stack manages it itself for a while, and goes back, without a cut of its tunnel", async () => {
    const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
    const dropIns = () => onGate("ls /etc/ssh/sshd_config.d | grep ssh-reverse-tunnel");
    const before = await pid();
    const { privateKeyFile } = labAdmin(lab, gate).admin;
    await site.setConfig({ publicHosts: { gate: { ...labAdmin(lab, gate), sshPort: 2022 } } });
    await site.up();
    expect(await dropIns()).toBe("00-ssh-reverse-tunnel-public.conf\n00-ssh-reverse-tunnel-site.conf");
    // Its key no longer needs the other stack, but its port does.
    await expect(manager.destroy()).rejects.toThrow(
      "tunnels of other stacks still come in at port 2022, which this would close: tunnel-nas; it stays open",
    );
    await manager.up();
    await site.setConfig({ publicHosts: { gate: { managedBy: "public", admin: { privateKeyFile } } } });
    await site.up();
    expect(await dropIns()).toBe("00-ssh-reverse-tunnel-public.conf");
    expect(await pid()).toBe(before);
    await comesBack();
  });

  it("the stack that manages it cannot be destroyed, nor give it up, while the other one has a tunnel there", async () => {
    const sentence =
      "tunnels of other stacks come in by what this stack manages here, and would be cut: ssh-reverse-tunnel-site; sshd stays as it is: run 'pulumi destroy' in them first";
    await expect(manager.destroy()).rejects.toThrow(sentence);
    await comesBack();
    expect(await onGate("ss -Htln 'sport = :2022' | wc -l")).not.toBe("0");
    await manager.up();
    await comesBack();
  });

  it("moving the tools of the stack that manages it cuts no tunnel, before and after the other stack follows", async () => {
    await manager.setConfig({ publicHosts: managed({ toolsDirectory: "/opt/elsewhere" }) });
    await manager.up();
    await comesBack();
    expect(await onGate(`ls /opt/*/${evictStale}`)).toBe(
      `/opt/elsewhere/${evictStale}\n/opt/ssh-reverse-tunnel/${evictStale}`,
    );
    await site.up();
    await comesBack();
    await manager.setConfig({ revision: "2" });
    await manager.up();
    expect(await onGate(`ls /opt/*/${evictStale}`)).toBe(`/opt/elsewhere/${evictStale}`);
    await comesBack();
  });

  it("a stack says what to do if the host does not have what the other one put there", async () => {
    await gate.run(`mv /opt/elsewhere/${evictStale} /root/kept`);
    await site.setConfig({ revision: "looks again" });
    expect(await failedUp(site)).toContain(
      `there is no /opt/elsewhere/${evictStale} here, which the stack 'public' puts there as it manages this host; set 'revision' in that stack to a new value, run 'pulumi up' there, and then here again`,
    );
    await manager.setConfig({ revision: "3" });
    await manager.up();
    await site.up();
    await gate.run("rm /root/kept");
    await comesBack();
  });

  it("another port of sshd takes the place of the earlier one in the firewall once no tunnel comes in at that", async () => {
    await gate.run("cp -a /etc/ufw /root/ufw && ufw allow 22/tcp && ufw --force enable");
    const open = () =>
      onGate("ufw status | sed -n 's|^\\(20[0-9]*\\)/tcp .*|\\1|p' | sort -u | paste -sd ' '");
    const configured = (sshPort: number, revision: string) =>
      manager.setConfig({
        publicHosts: managed({ sshPort, toolsDirectory: "/opt/elsewhere" }),
        revision,
      });
    await configured(2022, "4");
    await manager.up();
    expect(await open()).toBe("2022");
    await gate.run("printf 'Port 22\\nPort 2022\\n' >/etc/ssh/sshd_config.d/10-ports.conf");
    await configured(2023, "5");
    expect((await manager.up()).stdout).toContain(
      "port 2022 stays open in the firewall, since tunnels still come in there (tunnel-nas)",
    );
    expect(await open()).toBe("2022 2023");
    await comesBack();
    await site.up();
    await works();
    await configured(2023, "6");
    await manager.up();
    expect(await open()).toBe("2023");
    await gate.run("sed -i /2022/d /etc/ssh/sshd_config.d/10-ports.conf && sshd -t && systemctl reload ssh");
    await comesBack();
    await gate.run("ufw disable && rm -r /etc/ufw && mv /root/ufw /etc/ufw");
  });

  it("a port that sshd no longer has to listen at is closed once no tunnel comes in there", async () => {
    const { address, admin } = labAdmin(lab, gate);
    const back = { address, admin, allowUsers: ["root", "alice"], toolsDirectory: "/opt/elsewhere" };
    await manager.setConfig({ publicHosts: { gate: back } });
    expect(await failedUp(manager)).toContain(
      "sshd would no longer listen on port 2023, where tunnels come in (tunnel-nas)",
    );
    await gate.run("printf 'Port 22\\nPort 2023\\n' >/etc/ssh/sshd_config.d/10-ports.conf");
    expect(await failedUp(manager)).toContain(
      "tunnels of other stacks still come in at port 2023, which this would close: tunnel-nas; it stays open: run 'pulumi up' in those stacks",
    );
    await comesBack();
    await site.up();
    await works();
    await manager.up();
    await gate.run("rm /etc/ssh/sshd_config.d/10-ports.conf && systemctl reload ssh");
    await comesBack();
    expect(await onGate("ss -Htn state established 'sport = :2023' | wc -l")).toBe("0");
  });

  it("a stack that no longer has outputs of another one can still be destroyed, and then that one, and nothing is left", async () => {
    await site.destroy();
    await manager.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
  });
});
