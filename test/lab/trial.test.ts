import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { sshAsUser } from "./support/ssh.ts";
import { until } from "./support/until.ts";

/** A change to a host that nobody can confirm: its link is cut between the change and the login that should follow. */
describe("a change on trial that no new login confirms", () => {
  let lab: Lab;
  let gate: Host;
  let wall: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "trial", hosts: ["gate", "wall"] });
    [gate, wall] = [lab.host("gate"), lab.host("wall")];
    await wall.run("systemctl start firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done");
  });

  afterAll(() => Lab.clear("trial"));

  const open = (stack: string, program: () => void) =>
    openStack({
      project: "trial",
      stack,
      program: () => Promise.resolve(program()),
      directory: `${lab.directory}/stacks/${stack}`,
    });

  /** Runs an up on a host that admits nobody from the moment when the change is active. */
  async function upWithCut(host: Host, stack: LabStack) {
    const trials = "/var/lib/trial-*-rollback";
    await host.run(
      `systemd-run --quiet --collect --unit cut sh -c 'until ls ${trials}/active 2>/dev/null; do sleep 0.01; done; date +%s >/run/changed
       nft -f - <<EOF
       table inet cut { chain in { type filter hook input priority -300; tcp dport 22 ct state new drop; }; }
EOF
       while ls -d ${trials}/active 2>/dev/null; do sleep 0.1; done; date +%s >/run/undone'`,
    );
    const shown = await failedUp(stack);
    await until("the host to take it back", 70, async () => {
      return (await host.run("cat /run/undone", { allowFailure: true })).stdout !== "";
    });
    await host.run("nft delete table inet cut");
    const [changed = 0, back = 0] = (await host.run("cat /run/changed /run/undone")).stdout
      .split("\n")
      .map(Number);
    return { shown, seconds: back - changed };
  }

  const login = async (host: Host) => (await sshAsUser(lab, host.name, "true")).exitCode;

  it("is rolled back within a minute, by sshd and by the firewall, and the next up goes on", async () => {
    const server = await open(
      "server",
      () => void new SshServer("server", { host: hostWithTools(lab, gate), allowUsers: ["root", "admin"] }),
    );
    const firewall = await open(
      "firewall",
      () => void new FirewallPorts("web", { host: hostWithTools(lab, wall), ports: [{ port: 8080 }] }),
    );
    const before = (await wall.run("nft list ruleset | grep -v '^ *#'")).stdout;
    const [sshd, ports] = await Promise.all([upWithCut(gate, server), upWithCut(wall, firewall)]);

    for (const { shown, seconds } of [sshd, ports]) {
      expect(shown).toMatch(
        /cannot be reached on port 22; .* the host rolls it back by itself within a minute/,
      );
      expect(seconds).toBeLessThanOrEqual(63);
    }
    expect([await login(gate), await login(wall)]).toEqual([0, 0]);
    expect((await gate.run("sshd -T | grep -c '^allowusers' || :")).stdout).toBe("0");
    expect((await sshAsUser(lab, "-l", "alice", "gate", "true")).exitCode).toBe(0);
    expect((await wall.run("nft list ruleset | grep -v '^ *#'")).stdout).toBe(before);
    expect((await wall.run("firewall-cmd --permanent --list-ports")).stdout).toBe("");
    expect((await gate.run("ls /var/lib | grep rollback | grep -v taken-back || :")).stdout).toBe("");

    await Promise.all([server.up(), firewall.up()]);
    expect((await gate.run("sshd -T | grep -c '^allowusers'")).stdout).toBe("3");
    expect((await wall.run("firewall-cmd --list-ports; firewall-cmd --permanent --list-ports")).stdout).toBe(
      "8080/tcp\n8080/tcp",
    );
    await Promise.all([server.destroy(), firewall.destroy()]);
    expect(
      (await gate.run("ls -d /var/lib/*rollback* /etc/systemd/system/*rollback* 2>/dev/null || :")).stdout,
    ).toBe("");
    expect(
      (await wall.run("ls -d /var/lib/*rollback* /etc/systemd/system/*rollback* 2>/dev/null || :")).stdout,
    ).toBe("");
  }, 240_000);

  describe("is not even started if it would lock out the admin:", () => {
    const own = "/etc/ssh/sshd_config.d/50-own.conf";

    it.each([
      [
        "a port of the administrator's own, not loaded yet",
        "Port 2200",
        "the ports in sshd's configuration would lock out the admin 'root', who arrives at port 22",
      ],
      [
        "a Match by address",
        "Match Address 198.18.0.0/15\n    DenyUsers root",
        "DenyUsers would lock out the admin 'root'",
      ],
      [
        "a Match by name",
        "UseDNS yes\nMatch Host runner.example\n    DenyUsers root",
        "DenyUsers would lock out the admin 'root'",
      ],
      ["the tunnels' group with the admin in it", "# nothing", "it has other members: root"],
    ])("%s", async (what, settings, sentence) => {
      const inGroup = what.startsWith("the tunnels'");
      const runner = gate.address.replace(/\d+$/, "1");
      await gate.run(`cat >${own}`, { input: settings + "\n" });
      await gate.run(`cp -a /etc/hosts /root/hosts && echo '${runner} runner.example' >>/etc/hosts`);
      if (inGroup) await gate.run("groupadd --system ssh-tunnel && usermod -aG ssh-tunnel root");
      const stack = await open(
        "refused",
        () => void new SshServer("server", { host: hostWithTools(lab, gate) }),
      );
      expect(await failedUp(stack)).toContain(sentence);
      expect(await login(gate)).toBe(0);
      expect((await gate.run("ls /etc/ssh/sshd_config.d")).stdout).toBe("50-own.conf");
      if (inGroup) await gate.run("gpasswd --delete root ssh-tunnel && groupdel ssh-tunnel");
      await gate.run(`rm ${own}; mv /root/hosts /etc/hosts`);
    });
  });
});
