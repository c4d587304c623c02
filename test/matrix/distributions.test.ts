import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { type HostState, expectAsBefore, hostState } from "../lab/support/hostState.ts";
import { KINDS, RELEASES } from "../lab/support/kinds.ts";
import { remoteScripts } from "../lab/support/remoteScripts.ts";
import { Ring, type RingTunnel } from "../lab/support/ring.ts";
import { healthCheckOf } from "../lab/support/settings.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { missingSuites } from "../lab/support/suites.ts";
import { together } from "../lab/support/together.ts";
import { until } from "../lab/support/until.ts";

const LAB = "distros";

/**
 * The whole program on different hosts, each of them at both ends of a tunnel. The tests of a ring are a story: each
 * continues from the one before.
 */
describe.each([
  ["their release of Debian", RELEASES],
  ["the configuration by their distribution or administrator", KINDS],
])("a lab of hosts that differ in %s", (_, kinds) => {
  let lab: Lab;
  let ring: Ring;
  let stack: LabStack;
  const before = new Map<string, HostState>();
  /** Why there is no such host, by name. */
  const missing = new Map<string, string>();
  const all = Object.keys(kinds);
  const there = () => all.filter((name) => !missing.has(name));
  const onEach = (act: (name: string) => Promise<void>) => together(there(), (name) => name, act);
  const throughEach = (act: (tunnel: RingTunnel) => Promise<void>) =>
    together(ring.tunnels(), ({ from, to }) => `from ${from} to ${to}`, act);

  beforeAll(async () => {
    const why = await missingSuites([...new Set(Object.values(kinds).map(({ suite }) => suite))]);
    for (const [name, { suite }] of Object.entries(kinds)) {
      if (why.has(suite)) missing.set(name, why.get(suite)!);
    }
    if (there().length < 2) return; // a single host has nothing to connect to
    const hosts = there().map((name) => ({ name, suite: kinds[name]!.suite }));
    lab = await Lab.up({ name: LAB, hosts });
    await onEach(async (name) => {
      await lab.host(name).run(`set -e\n${kinds[name]!.setUp}`);
      // If a socket starts sshd, it has not run yet.
      expect((await sshAsUser(lab, name, "true")).exitCode).toBe(0);
      before.set(name, await hostState(lab.host(name)));
    });
    ring = new Ring(lab, there());
    stack = await openProgram(lab, { config: ring.settings() });
  }, 1_200_000); // the first time, this builds images

  afterAll(() => Lab.clear(LAB));

  beforeEach(({ skip }) => {
    skip(there().length < 2, [...new Set(missing.values())].join("\n"));
  });

  const comesBack = async ({ from }: RingTunnel) => {
    await until(
      `the tunnel from ${from}`,
      60,
      async () => (await ring.through(from, "hostname")) === from,
      200,
    );
  };

  it.for(all)("boots %s from the requested release", async (name, { skip }) => {
    skip(missing.has(name), missing.get(name));
    const versions = { bookworm: /^12\./, trixie: /^13\./, sid: /\/sid$/ };
    const { stdout } = await lab.host(name).run("cat /etc/debian_version");
    expect(stdout).toMatch(versions[kinds[name]!.suite]);
  });

  it("gets a tunnel between each two hosts in one up", async () => {
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["create"]);
  }, 300_000);

  it("does not change in a second up", async () => {
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["same"]);
  });

  it("carries bytes unchanged in both directions through each tunnel, for an account other than root", () =>
    throughEach(async ({ from, to }) => {
      expect(await ring.through(from, "id -un; hostname")).toBe(`alice\n${from}`);
      const [here, far] = [lab.host(to), lab.host(from)];
      const file = `/tmp/of-${from}`;
      await here.run(`head -c 3000000 /dev/urandom >${file} && chmod 644 ${file} &&
        su - alice -c "ssh from-${from} 'cat >${file}; cat ${file}' <${file}" >${file}-back`);
      const sum = (await here.run(`sha256sum <${file}`)).stdout;
      expect((await far.run(`sha256sum <${file}`)).stdout).toBe(sum);
      expect((await here.run(`sha256sum <${file}-back`)).stdout).toBe(sum);
      await Promise.all([here, far].map((each) => each.run(`rm -f ${file} ${file}-back`)));
    }));

  it("reports 'unchanged' and restarts nothing when every script is applied again to each host", async () => {
    const all = await remoteScripts(stack);
    await onEach(async (name) => {
      const host = lab.host(name);
      const tunnel = () => host.run(`systemctl show -P MainPID ssh-tunnel-from-${name}`);
      const pid = (await tunnel()).stdout;
      const scripts = all.filter((script) => [name, `from-${name}`].includes(script.host));
      expect(scripts.length).toBeGreaterThan(8);
      for (const { name: script, stdin } of scripts) {
        const { stderr } = await host.run("sh -s -- apply", { input: stdin });
        expect(stderr, script).toMatch(/^unchanged: /m);
        expect(stderr, script).not.toMatch(/^(changed|warning|error): /m);
      }
      expect((await tunnel()).stdout).toBe(pid);
    });
  });

  it("reports on both hosts of each tunnel that it is up", () =>
    throughEach(async ({ from, to }) => {
      await lab.host(to).run(`systemctl start ${healthCheckOf()}`);
      await lab.host(from).run(`systemctl start ssh-tunnel-from-${from}-watchdog`);
      expect([await ring.state(from, to), await ring.state(from, from)]).toEqual(["up", "up"]);
    }));

  // Since OpenSSH 9.8, each connection without a login counts for a second, and sshd refuses an address that has 15 of them.
  it("passes seven runs of both checks without being blocked by an sshd that counts connections without a login", async ({
    skip,
  }) => {
    const counts = async ({ from }: RingTunnel) =>
      (await lab.host(from).run("sshd -T | grep -i '^persourcepenalties '", { allowFailure: true }))
        .stdout !== "";
    const tunnels = ring.tunnels();
    const counted = await Promise.all(tunnels.map(counts));
    const those = tunnels.filter((_tunnel, index) => counted[index]);
    skip(those.length === 0, "no sshd here is of OpenSSH 9.8 or later");
    await together(
      those,
      ({ from }) => from,
      async (tunnel) => {
        const { from, to } = tunnel;
        const [internal, publicHost] = [lab.host(from), lab.host(to)];
        const names = [`ssh-tunnel-from-${from}-watchdog`, healthCheckOf()] as const;
        const looks = async () => {
          await internal.run(`systemctl start ${names[0]}`);
          await publicHost.run(`systemctl start ${names[1]}`);
        };
        const pid = async () =>
          (await internal.run(`systemctl show -P MainPID ssh-tunnel-from-${from}`)).stdout;
        const refused = `journalctl -q --since "$(systemctl show --timestamp=us+utc -P ActiveEnterTimestamp ssh)" -u ssh -g '^drop connection .*penalty'`;
        const refusals = async () => (await internal.run(refused, { allowFailure: true })).stdout;
        await internal.run(`systemctl stop ${names[0]}.timer && systemctl restart ssh`); // it starts to count again
        await publicHost.run(`systemctl stop ${names[1]}.timer`);
        for (let i = 0; i < 7; i++) await looks();
        expect(await ring.through(from, "hostname")).toBe(from);
        expect(await refusals()).toBe("");

        // More than that is too much for it; then it is not the tunnel's fault.
        const before = await pid();
        await internal.run(
          `for i in $(seq 20); do bash -c 'read -r -n 4 _ </dev/tcp/127.0.0.1/22'; done 2>&1`,
          { allowFailure: true },
        );
        await looks();
        expect(await refusals()).not.toBe("");
        expect([await ring.state(from, to), await ring.state(from, from)]).toEqual(["down", "down"]);
        expect(await pid()).toBe(before);
        await internal.run(`systemctl restart ssh && systemctl start ${names[0]}.timer`);
        await publicHost.run(`systemctl start ${names[1]}.timer`);
        await comesBack(tunnel);
      },
    );
  });

  it("has versions of systemd that know each line of our units and find them confined", () =>
    onEach(async (name) => {
      const host = lab.host(name);
      const units = "systemctl list-unit-files --no-legend 'ssh-tunnel*-*.service' | cut -d' ' -f1";
      const services = (await host.run(units)).stdout.split("\n");
      expect(services.length).toBe(3);
      const complaints = await host.run(`systemd-analyze verify --man=no ${services.join(" ")} 2>&1`);
      expect(complaints.stdout).toBe("");
      for (const service of services) {
        await host.run(`systemd-analyze security --no-pager --threshold=20 ${service}`);
      }
    }));

  it("has every tunnel again after a simultaneous reboot of all hosts", async () => {
    await onEach((name) => lab.host(name).reboot());
    await throughEach(comesBack);
  });

  // One after the other: the public host of a host whose power is cut must stay up, to hold its dead session.
  it("ends the dead session of each internal host that lost power, and the tunnel comes back", async () => {
    for (const { from, to } of ring.tunnels()) {
      const [internal, publicHost] = [lab.host(from), lab.host(to)];
      await internal.powerCut();
      expect((await publicHost.run("ss -Hltn 'sport = :2222'")).stdout, to).toContain("127.0.0.1:2222");
      await internal.boot();
      await together(ring.tunnelsOf(from), (tunnel) => `from ${tunnel.from}`, comesBack);
      const sessions = await publicHost.run(`pgrep -c -u tunnel-from-${from} ^sshd`);
      expect(sessions.stdout, `sessions from ${from} on ${to}`).toBe("1");
    }
  });

  it("has every host as it was after destroy", async () => {
    await stack.destroy();
    await onEach(async (name) => {
      // They have been restarted: processes have different ids, and what a first boot does has not been done again.
      await expectAsBefore(lab.host(name), before.get(name)!, ["listeners", "processes", "units"]);
      const units = "systemctl list-units --all --plain --no-legend 'ssh-tunnel*' 'ssh-reverse-tunnel*'";
      expect((await lab.host(name).run(units)).stdout).toBe("");
    });
  });
});
