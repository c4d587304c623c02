import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { selinuxPorts } from "../../components/parts/selinuxPorts/selinuxPorts.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { sometimes } from "./support/sample.ts";

/**
 * Types of ports in a host's SELinux policy. The lab's kernel has no SELinux: the store and semanage are real, and only
 * "is it enabled" is faked for them. The kernel's behavior is tested in test/selinux.
 */
describe("the script for SELinux ports", () => {
  let lab: Lab;
  let gate: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "selinux2", hosts: ["gate"] });
    gate = lab.host("gate");
  });

  afterAll(() => Lab.clear("selinux2"));

  // Each test begins with what the one before has left.
  afterEach(async () => {
    expect(await local()).toBe("");
  });

  const open = (stack: string, args: { ports: string[]; installPackages?: boolean }): Promise<LabStack> =>
    openStack({
      project: "ports",
      stack,
      program: () => Promise.resolve(void onePart("ports", hostWithTools(lab, gate), selinuxPorts(args))),
      directory: `${lab.directory}/stacks/${stack}`,
    });
  const selinux = (stack: string, ...ports: number[]) => open(stack, { ports: ports.map(String) });

  /** The administrator's own entries, and ours. */
  const local = async () => (await gate.run("semanage port -l -C -n")).stdout;
  /** "TYPE ENTRY" of every entry that includes a tcp port, the policy's and the administrator's. */
  const typesOf = async (port: number) =>
    (await gate.run("semanage port -l -n")).stdout
      .split("\n")
      .map((line) => line.split(/[\s,]+/))
      .filter(([, protocol]) => protocol === "tcp")
      .flatMap(([type, , ...entries]) =>
        entries.map((entry) => ({ type, entry, ends: entry.split("-").map(Number) })),
      )
      .filter(({ ends }) => ends[0]! <= port && port <= ends.at(-1)!)
      .map(({ type, entry }) => `${type} ${entry}`)
      .sort();

  sometimes.it("does nothing, and reports it, if SELinux is disabled", async () => {
    const stack = await selinux("disabled", 2222);
    expect((await stack.up()).stdout).toContain("SELinux is not enabled here; ports need no type");
    expect(await local()).toBe("");
    await stack.destroy();
  });

  describe("if SELinux is enabled", () => {
    const enabled = "/usr/local/sbin/selinuxenabled";
    beforeAll(() => gate.run(`printf '#!/bin/sh\\nexit 0\\n' >${enabled}; chmod 755 ${enabled}`));

    sometimes.it(
      "gives ssh_port_t to a port without a type of its own, and removes it on destroy",
      async () => {
        const before = await typesOf(2222);
        expect(before.join()).not.toContain("ssh_port_t");
        const stack = await selinux("undefined", 2222);
        await stack.up();
        expect(await local()).toMatch(/^ssh_port_t +tcp +2222$/);
        expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
        await stack.destroy();
        expect(await typesOf(2222)).toEqual(before);
      },
    );

    it("changes the type of a port that the policy defines, and restores it", async () => {
      const before = await typesOf(8080);
      expect(before).toContain("http_cache_port_t 8080");
      const stack = await selinux("by-policy", 8080);
      await stack.up();
      expect(await local()).toMatch(/^ssh_port_t +tcp +8080$/);
      await stack.destroy();
      expect(await typesOf(8080)).toEqual(before);
    });

    sometimes.it(
      "changes the type of one port in a range that the policy defines, and restores it",
      async () => {
        const before = await typesOf(10005);
        expect(before).toContain("http_cache_port_t 10001-10010");
        const stack = await selinux("by-range", 10005);
        await stack.up();
        expect(await local()).toMatch(/^ssh_port_t +tcp +10005$/);
        expect(await typesOf(10005)).toEqual([...before, "ssh_port_t 10005"].sort());
        await stack.destroy();
        expect(await typesOf(10005)).toEqual(before);
      },
    );

    sometimes.it("changes the type of a port that the administrator defined, and restores it", async () => {
      await gate.run("semanage port -a -t http_port_t -p tcp 2223");
      const stack = await selinux("by-admin", 2223);
      await stack.up();
      expect(await local()).toMatch(/^ssh_port_t +tcp +2223$/);
      await stack.destroy();
      expect(await local()).toMatch(/^http_port_t +tcp +2223$/);
      await gate.run("semanage port -d -p tcp 2223");
    });

    sometimes.it(
      "refuses a port inside a range that the administrator defined with another type, and leaves the range alone",
      async () => {
        await gate.run("semanage port -a -t http_port_t -p tcp 2230-2239");
        const stack = await selinux("in-admins-range", 2235);
        await expect(stack.up()).rejects.toThrow(
          `error: gate (${gate.address}): port 2235 is in the range 2230-2239 that has the SELinux type http_port_t by 'semanage port', which takes no single port out of a range; choose a port outside of it, or divide it by hand`,
        );
        // semanage itself does refuse it.
        const byHand = await gate.run("semanage port -a -t ssh_port_t -p tcp 2235", { allowFailure: true });
        expect(byHand.exitCode).not.toBe(0);
        await stack.destroy();
        expect(await local()).toMatch(/^http_port_t +tcp +2230-2239$/);
        await gate.run("semanage port -d -p tcp 2230-2239");
      },
    );

    sometimes.it("leaves a port alone that already has the type, by itself or in a range", async () => {
      await gate.run("semanage port -a -t ssh_port_t -p tcp 2224");
      await gate.run("semanage port -a -t ssh_port_t -p tcp 2240-2249");
      const before = await local();
      const stack = await selinux("already", 22, 2224, 2245);
      expect((await stack.up()).stdout).toContain("unchanged: ");
      expect(await local()).toBe(before);
      await stack.destroy();
      expect(await local()).toBe(before);
      await gate.run("semanage port -d -p tcp 2224; semanage port -d -p tcp 2240-2249");
    });

    sometimes.it("keeps what the administrator changed about a port in the meantime", async () => {
      const stack = await selinux("meantime", 2227);
      await stack.up();
      await gate.run("semanage port -m -t http_port_t -p tcp 2227");
      await stack.destroy();
      expect(await local()).toMatch(/^http_port_t +tcp +2227$/);
      await gate.run("semanage port -d -p tcp 2227");
    });

    it("keeps a type that two tunnels need on different addresses until the last of them is removed", async () => {
      const [first, second] = [await selinux("first", 2226), await selinux("second", 2226)];
      await first.up();
      await second.up();
      await first.destroy();
      expect(await local()).toMatch(/^ssh_port_t +tcp +2226$/);
      await second.destroy();
      expect(await local()).toBe("");
    });

    sometimes.it("reports what to install if semanage is missing and installing is not allowed", async () => {
      await gate.run("mv /usr/sbin/semanage /usr/sbin/semanage.away");
      const stack = await open("missing", { ports: ["2225"], installPackages: false });
      await expect(stack.up()).rejects.toThrow(
        `error: gate (${gate.address}): SELinux is enabled and semanage is missing; install policycoreutils-python-utils, or allow it with 'installPackages: true'`,
      );
      await gate.run("mv /usr/sbin/semanage.away /usr/sbin/semanage");
      await stack.destroy();
    });

    sometimes.it("restores the type of a port if SELinux has been disabled in the meantime", async () => {
      const stack = await selinux("disabled-since", 2228);
      await stack.up();
      await gate.run(`rm ${enabled}`);
      await stack.destroy();
      expect(await local()).toBe("");
    });
  });
});
