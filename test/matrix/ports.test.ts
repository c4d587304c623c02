import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { leftovers } from "../lab/support/leftovers.ts";

/** Ports in a host's firewall: what the component opens and closes again. */
describe("ports of a forward in a host's firewall", () => {
  let lab: Lab;
  let gate: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "ports", hosts: ["gate"] });
    gate = lab.host("gate");
    await gate.run("systemd-run --quiet --unit web busybox httpd -f -p 8080 -h /");
  });

  afterAll(async () => {
    await lab?.down();
  });

  const host = () => hostWithTools(lab, gate);

  const open = (stack: string, program: () => void): Promise<LabStack> =>
    openStack({
      project: "ports",
      stack,
      program: () => Promise.resolve(program()),
      directory: `${lab.directory}/stacks/${stack}`,
    });

  // An existing connection would pass a firewall that was started later.
  const reachable = async () =>
    fetch(`http://${gate.address}:8080/`, {
      headers: { connection: "close" },
      signal: AbortSignal.timeout(2000),
    }).then(
      () => true,
      () => false,
    );

  const firewall = (stack: string, ...more: number[]) =>
    open(
      stack,
      () => void new FirewallPorts("web", { host: host(), ports: [8080, ...more].map((port) => ({ port })) }),
    );

  it("are left alone, with a message, if no firewall is active", async () => {
    const stack = await firewall("none");
    const { stdout } = await stack.up();
    expect(stdout).toContain("neither firewalld nor ufw is active here; no port needs opening");
    expect(stdout).not.toMatch(/nft|syntax error/);
    expect(await reachable()).toBe(true);
    await stack.destroy();
  });

  describe("with firewalld", () => {
    beforeAll(() => gate.run("systemctl start firewalld"));
    afterAll(() => gate.run("systemctl stop firewalld"));
    const ports = async () =>
      (await gate.run("firewall-cmd --list-ports; firewall-cmd --permanent --list-ports")).stdout.split("\n");

    it("are opened in its running and its permanent state, and closed again on destroy", async () => {
      // It reports that it has started before all its rules are there.
      await expect.poll(reachable, { timeout: 120_000 }).toBe(false);
      const before = await gate.snapshot();
      const stack = await firewall("firewalld");
      await stack.up();
      expect(await reachable()).toBe(true);
      expect(await ports()).toEqual(["8080/tcp", "8080/tcp"]);
      await stack.destroy();
      expect(await reachable()).toBe(false);
      expect(await ports()).toEqual(["", ""]);
      expect(await leftovers(gate, before)).toEqual([]);
      await gate.run("firewall-cmd --reload");
      expect(await reachable()).toBe(false);
      expect(await leftovers(gate, before)).toEqual([]);
    });

    it("keep what the administrator changed in the zone in the meantime", async () => {
      const stack = await firewall("firewalld-changed");
      await stack.up();
      await gate.run("firewall-cmd --quiet --permanent --add-service https");
      await stack.destroy();
      expect((await gate.run("firewall-cmd --permanent --list-services")).stdout).toMatch(/\bhttps\b/);
      expect(await ports()).toEqual(["", ""]);
      await gate.run("firewall-cmd --reload");
      expect((await gate.run("firewall-cmd --list-services")).stdout).toMatch(/\bhttps\b/);
      await gate.run("firewall-cmd --quiet --permanent --load-zone-defaults public; firewall-cmd --reload");
      await gate.run("rm /etc/firewalld/zones/*");
    });

    it("are removed from its zone while it does not run", async () => {
      const before = await gate.snapshot();
      const stack = await firewall("firewalld-stopped");
      await stack.up();
      await gate.run("systemctl stop firewalld");
      await stack.destroy();
      expect(await leftovers(gate, before)).toEqual([]);
      await gate.run("systemctl start firewalld");
      await expect.poll(reachable, { timeout: 120_000 }).toBe(false);
      expect(await ports()).toEqual(["", ""]);
    });

    it("do not block a destroy after the administrator has removed the zone", async () => {
      await gate.run("firewall-cmd --quiet --permanent --new-zone mine");
      await gate.run("firewall-cmd --quiet --permanent --zone mine --add-service ssh");
      await gate.run("firewall-cmd --quiet --reload && firewall-cmd --quiet --set-default-zone mine");
      const stack = await firewall("firewalld-zone");
      await stack.up();
      expect(await ports()).toEqual(["8080/tcp", "8080/tcp"]);
      await gate.run("firewall-cmd --quiet --set-default-zone public");
      await gate.run("firewall-cmd --quiet --permanent --delete-zone mine && firewall-cmd --quiet --reload");
      await stack.destroy();
      expect((await gate.run("firewall-cmd --state")).stdout).toBe("running");
    });

    it("leave a range alone that the administrator has opened around one of them", async () => {
      const stack = await firewall("firewalld-range");
      await stack.up();
      // firewalld merges both into one.
      await gate.run("firewall-cmd --quiet --add-port 8000-8100/tcp");
      expect(await ports()).toEqual(["8000-8100/tcp", "8080/tcp"]);
      await stack.destroy();
      expect(await ports()).toEqual(["8000-8100/tcp", ""]);
      await gate.run("firewall-cmd --quiet --remove-port 8000-8100/tcp");
    });

    it("are left to a zone that accepts everything", async () => {
      await gate.run("firewall-cmd --quiet --set-default-zone trusted");
      const before = await gate.snapshot();
      const stack = await firewall("firewalld-trusted");
      await stack.up();
      expect(await reachable()).toBe(true);
      await stack.destroy();
      expect(await leftovers(gate, before)).toEqual([]);
      await gate.run("firewall-cmd --quiet --set-default-zone public");
    });

    it("stay open if the administrator had opened them", async () => {
      await gate.run("firewall-cmd --quiet --add-port 8080/tcp");
      const stack = await firewall("firewalld-kept");
      await stack.up();
      await stack.destroy();
      expect(await ports()).toEqual(["8080/tcp", ""]);
    });
  });

  describe("with ufw", () => {
    beforeAll(() => gate.run("ufw allow 22/tcp >/dev/null; ufw --force enable >/dev/null"));
    afterAll(() => gate.run("ufw --force disable >/dev/null"));
    const rules = async () => (await gate.run("ufw show added")).stdout;

    it("stay open in a firewall that does not run while the script does", async () => {
      const before = await rules();
      await (await firewall("ufw-off")).up();
      await gate.run("ufw --force disable >/dev/null");
      await (await firewall("ufw-off", 8081)).up();
      await gate.run("ufw --force enable >/dev/null");
      expect(await reachable()).toBe(true);
      await (await firewall("ufw-off")).destroy();
      expect(await reachable()).toBe(false);
      expect(await rules()).toBe(before);
    });

    it("are opened, and closed again on destroy", async () => {
      expect(await reachable()).toBe(false);
      const before = await rules();
      const stack = await firewall("ufw");
      await stack.up();
      expect(await reachable()).toBe(true);
      expect(await rules()).toContain("ufw allow 8080/tcp");
      await stack.destroy();
      expect(await reachable()).toBe(false);
      expect(await rules()).toBe(before);
    });

    it("are removed from its rules while it is not enabled", async () => {
      const before = await rules();
      const stack = await firewall("ufw-off");
      await stack.up();
      await gate.run("ufw --force disable >/dev/null");
      await stack.destroy();
      await gate.run("ufw --force enable >/dev/null");
      expect(await rules()).toBe(before);
      expect(await reachable()).toBe(false);
    });
  });
});
