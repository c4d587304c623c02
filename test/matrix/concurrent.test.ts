import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { tunnelSettings } from "../lab/support/settings.ts";

/** Two people, each with their own stack, who share both hosts and start at the same moment. */
describe("two stacks on the same two hosts at the same time", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let before: Record<string, Snapshot>;
  const stacks: Record<string, LabStack> = {};
  const ports = { alpha: 2301, beta: 2302 };
  const names = Object.keys(ports);

  beforeAll(async () => {
    lab = await Lab.up({ name: "concurrent", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    // The lab's kernel has no SELinux; the store of ports that both write to is real.
    await gate.run(
      "printf '#!/bin/sh\\n' >/usr/local/sbin/selinuxenabled && chmod 755 /usr/local/sbin/selinuxenabled",
    );
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    for (const [name, remotePort] of Object.entries(ports)) {
      const forwards = { ssh: { remotePort, target: 22 } };
      const config = tunnelSettings(lab, gate, nas, { tunnel: name, forwards });
      stacks[name] = await openProgram(lab, { stack: name, config });
    }
  });

  afterAll(async () => {
    await lab?.down();
  });

  const both = (act: (stack: LabStack) => Promise<unknown>) => Promise.all(Object.values(stacks).map(act));
  const onGate = async (command: string) => (await gate.run(command)).stdout;
  const onNas = async (command: string) => (await nas.run(command)).stdout;
  /** The ports to which we gave a type. */
  const typedPorts = async () => (await onGate("semanage port -l -C -n")).match(/\d+/g)?.sort() ?? [];

  it("both come up from nothing, and both tunnels work", async () => {
    await both((stack) => stack.up());
    for (const name of names) expect(await onGate(`ssh ${name} hostname`)).toBe("nas");
  });

  it("lose nothing that the other one wrote: drop-ins, lines, accounts, port types, records", async () => {
    const dropIns = names.map((name) => `00-ssh-reverse-tunnel-${name}.conf`);
    expect((await onGate("ls /etc/ssh/sshd_config.d")).split("\n")).toEqual(expect.arrayContaining(dropIns));
    expect((await onGate("ls /etc/ssh/ssh-reverse-tunnel")).split("\n")).toEqual(
      names.map((name) => `tunnel-${name}.keys`),
    );
    for (const name of names) {
      expect(await onNas("cat /root/.ssh/authorized_keys")).toMatch(new RegExp(`^restrict,.*${name}`, "m"));
      expect(await onGate(`id -gn tunnel-${name}`)).toBe("ssh-tunnel");
      expect(await onNas(`systemctl is-enabled ssh-tunnel-${name}`)).toBe("enabled");
    }
    expect(await onGate("grep -c '^Include ssh-reverse-tunnel/' /root/.ssh/config")).toBe("1");
    expect(await typedPorts()).toEqual(Object.values(ports).map(String));
    for (const host of [gate, nas]) {
      const { stdout } = await host.run("ls /var/lib/ssh-reverse-tunnel");
      expect(stdout.split("\n")).toEqual(names.map((name) => `ssh-reverse-tunnel-${name}`));
    }
  });

  it("find everything in place in a second up at the same time, and change nothing", async () => {
    await both((stack) => stack.setConfig({ revision: "2" }));
    const results = (await both((stack) => stack.up())) as Awaited<ReturnType<LabStack["up"]>>[];
    for (const { stdout } of results) {
      expect(stdout).toContain("unchanged: ");
      expect(stdout).not.toMatch(/\bchanged: /);
    }
  });

  it("leave nothing after both are destroyed at the same time", async () => {
    await both((stack) => stack.destroy());
    expect(await typedPorts()).toEqual([]);
    expect((await leftovers(gate, before.gate!)).filter((line) => !ofThePolicy.test(line))).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
    await gate.run("sshd -t && systemctl is-active ssh");
  });
});

/** semanage rebuilds the whole policy for each port. */
const ofThePolicy = / \/(etc|var\/lib)\/selinux\//;
