import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { until } from "../../lab/exec.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { type HostState, expectAsBefore, hostState } from "./support/hostState.ts";
import { KINDS, RELEASES } from "./support/kinds.ts";
import { remoteScripts } from "./support/remoteScripts.ts";
import { Ring } from "./support/ring.ts";
import { sshAsUser } from "./support/ssh.ts";
import { missingSuites } from "./support/suites.ts";

/**
 * The whole program on hosts that are not alike, each of them at both ends of a tunnel. The tests of a ring are a story:
 * each goes on from the one before.
 */
describe.each([
  ["the releases of Debian", "distros", RELEASES],
  ["what their distribution or administrator has made of them", "distros2", KINDS],
])("on hosts that differ in %s", (_, labName, kinds) => {
  let lab: Lab;
  let ring: Ring;
  let stack: LabStack;
  const before = new Map<string, HostState>();
  /** Why there is no such host, by name. */
  const missing = new Map<string, string>();
  const all = Object.keys(kinds);
  const there = () => all.filter((name) => !missing.has(name));

  beforeAll(async () => {
    const why = await missingSuites([...new Set(Object.values(kinds).map(({ suite }) => suite))]);
    for (const [name, { suite }] of Object.entries(kinds)) {
      if (why.has(suite)) missing.set(name, why.get(suite)!);
    }
    if (there().length < 2) return; // one that is alone has nobody to be connected to
    const hosts = there().map((name) => ({ name, suite: kinds[name]!.suite }));
    lab = await Lab.up({ name: labName, hosts });
    await Promise.all(
      there().map(async (name) => {
        await lab.host(name).run(`set -e\n${kinds[name]!.setUp}`);
        // Where a socket starts sshd, it has not run yet.
        expect((await sshAsUser(lab, name, "true")).exitCode).toBe(0);
        before.set(name, await hostState(lab.host(name)));
      }),
    );
    ring = new Ring(lab, there());
    stack = await openProgram(lab, { config: ring.settings() });
  }, 1_200_000); // the first time, this builds images

  afterAll(() => Lab.clear(labName));

  beforeEach(({ skip }) => {
    skip(there().length < 2, [...new Set(missing.values())].join("\n"));
  });

  const comesBack = (from: string) =>
    until(`the tunnel from ${from}`, 60, async () => (await ring.through(from)) === from, 200);

  it("boots each of them from the release that was asked for", async () => {
    const versions = { bookworm: /^12\./, trixie: /^13\./, sid: /\/sid$/ };
    for (const name of there()) {
      const { stdout } = await lab.host(name).run("cat /etc/debian_version");
      expect(stdout, name).toMatch(versions[kinds[name]!.suite]);
    }
  });

  it("builds a tunnel between each two of them in one up", async () => {
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["create"]);
  }, 300_000);

  it("changes nothing in a second up", async () => {
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["same"]);
  });

  describe.each(all)("%s", (name) => {
    beforeEach(({ skip }) => {
      skip(missing.has(name), missing.get(name));
    });

    const host = () => lab.host(name);

    it("carries bytes both ways unharmed, as its public end and as its internal end", async () => {
      for (const { from, to } of ring.tunnelsOf(name)) {
        const [here, far] = [lab.host(to), lab.host(from)];
        await here.run(`head -c 3000000 /dev/urandom >/tmp/there &&
          ssh from-${from} 'cat >/tmp/there; cat /tmp/there' </tmp/there >/tmp/back`);
        const sum = (await here.run("sha256sum </tmp/there")).stdout;
        expect((await far.run("sha256sum </tmp/there")).stdout).toBe(sum);
        expect((await here.run("sha256sum </tmp/back")).stdout).toBe(sum);
        await Promise.all([here, far].map((each) => each.run("rm -f /tmp/there /tmp/back")));
      }
    });

    it("lets another account than root in through the tunnel", async () => {
      const { from, to } = ring.tunnelsOf(name)[1]!;
      expect((await lab.host(to).run(`su - alice -c 'ssh from-${from} id -un'`)).stdout).toBe("alice");
    });

    it("says 'unchanged' and restarts nothing when every script is applied again", async () => {
      const tunnel = () => host().run(`systemctl show -P MainPID ssh-tunnel-from-${name}`);
      const pid = (await tunnel()).stdout;
      const scripts = (await remoteScripts(stack)).filter((script) =>
        [name, `from-${name}`].includes(script.host),
      );
      expect(scripts.length).toBeGreaterThan(20);
      for (const { name: script, stdin } of scripts) {
        const { stderr } = await host().run("sh -s -- apply", { input: stdin });
        expect(stderr, script).toMatch(/^unchanged: /m);
        expect(stderr, script).not.toMatch(/^(changed|warning|error): /m);
      }
      expect((await tunnel()).stdout).toBe(pid);
    });

    it("tells on both hosts that both of its tunnels are up", async () => {
      for (const { from, to } of ring.tunnelsOf(name)) {
        await lab.host(to).run(`systemctl start ssh-tunnel-from-${from}-health`);
        await lab.host(from).run(`systemctl start ssh-tunnel-from-${from}-watchdog`);
        expect([await ring.state(from, to), await ring.state(from, from)]).toEqual(["up", "up"]);
      }
    });

    it("has a systemd that finds nothing wrong with our units", async () => {
      const services = "systemctl list-unit-files --no-legend 'ssh-tunnel-*.service' | cut -d' ' -f1";
      for (const service of (await host().run(services)).stdout.split("\n")) {
        expect((await host().run(`systemd-analyze verify --man=no ${service} 2>&1`)).stdout, service).toBe(
          "",
        );
        await host().run(`systemd-analyze security --no-pager --threshold=20 ${service}`);
      }
    });

    it("has both of its tunnels again after a reboot", async () => {
      await host().reboot();
      for (const { from } of ring.tunnelsOf(name)) await comesBack(from);
    });

    it("ends the dead session of an internal host that lost its power, and the tunnel is back", async () => {
      const internal = lab.host(ring.internalHostOf(name));
      await internal.powerCut();
      expect((await host().run("ss -Hltn 'sport = :2222'")).stdout).toContain("127.0.0.1:2222");
      await internal.boot();
      await comesBack(internal.name);
      expect((await host().run(`pgrep -c -u tunnel-from-${internal.name} ^sshd`)).stdout).toBe("1");
    });
  });

  it("leaves each of them as it was after destroy", async () => {
    await stack.destroy();
    for (const name of there()) {
      // They have been started again: processes have other ids, and what a first boot does has not been done again.
      await expectAsBefore(lab.host(name), before.get(name)!, ["listeners", "processes", "units"]);
      const units = "systemctl list-units --all --plain --no-legend 'ssh-tunnel*' 'ssh-reverse-tunnel*'";
      expect((await lab.host(name).run(units)).stdout).toBe("");
    }
  });
});
