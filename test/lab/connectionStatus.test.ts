import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import type { HostStatus } from "../../tools/status.ts";
import { expectAsBefore, type HostState, hostState } from "./support/hostState.ts";
import { healthCheckOf } from "./support/settings.ts";
import { until } from "./support/until.ts";

/**
 * What ssh-tunnel-status says right after `up`, and of connections. The checks run every half day or day, so what is known is
 * what `up` itself has found, or a check that the test has started. The tests are a story.
 */
describe("the status of a tunnel", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: HostState[];

  beforeAll(async () => {
    lab = await Lab.up({ name: "connection-status", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = [await hostState(gate), await hostState(nas)];
    stack = await openProgram(lab, {});
  });
  afterAll(() => Lab.clear("connection-status"));

  const seldom = { watchdogIntervalSec: 86_400, healthIntervalSec: 43_200 };
  const tunnel = (remotePort: number, own: object = {}) => ({
    ...{ ...labAdmin(lab, nas), ...seldom, textfileDirectory: "/srv/metrics" },
    ...{ forwards: { ssh: { remotePort, target: 22 } }, ...own },
  });
  const up = async (internalHosts: Record<string, object>) => {
    await stack.setConfig({
      publicHosts: { gate: { ...labAdmin(lab, gate), textfileDirectory: "/srv/metrics" } },
      internalHosts,
    });
    await stack.up();
  };
  const tunnelsOn = async (host: Host) =>
    (JSON.parse((await host.run("ssh-tunnel-status --json", { allowFailure: true })).stdout) as HostStatus)
      .tunnels;
  const statesOn = async (host: Host) =>
    Object.fromEntries((await tunnelsOn(host)).map((each) => [each.tunnel, each.state]));
  const nasOn = async (host: Host) => (await tunnelsOn(host)).find((each) => each.tunnel === "nas")!;
  const look = () => gate.run(`systemctl start ${healthCheckOf()}`);
  const isTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string;

  it("is up on both hosts when up has ended, with the address and the time of the connection", async () => {
    await up({ nas: tunnel(2222) });
    expect([await statesOn(gate), await statesOn(nas)]).toEqual([{ nas: "up" }, { nas: "up" }]);
    const { connection } = await nasOn(gate);
    expect(connection).toEqual({
      ...{ connectedSince: isTime, lastConnected: isTime, address: nas.address },
      ...{ attemptsSince: 0, lastAttempt: null },
    });
    const { service } = await nasOn(nas);
    expect(service).toMatchObject({ connectedSince: isTime, restarts: expect.any(Number) as number });
    const seconds = (time: string | null | undefined) => Date.parse(time!) / 1000;
    const metrics = (await gate.run("cat /srv/metrics/*.prom")).stdout;
    const labels = 'tunnel="nas",side="public"';
    // Of the same check: another one may have run meanwhile.
    const [, checked] = /^ssh_tunnel_check_timestamp_seconds\{.*\} (\d+)$/m.exec(metrics)!;
    for (const line of [
      `connected_since_timestamp_seconds{${labels}} ${seconds(connection?.connectedSince)}`,
      `last_connection_timestamp_seconds{${labels}} ${checked}`,
      `source_info{${labels},address="${nas.address}"} 1`,
    ])
      expect(metrics).toContain(`ssh_tunnel_${line}`);
    expect(metrics).toMatch(/^ssh_tunnel_connection_attempts_total\{tunnel="nas",side="public"\} [1-9]/m);
    expect((await nas.run("cat /srv/metrics/*.prom")).stdout).toMatch(
      /^ssh_tunnel_restarts_total\{tunnel="nas",side="internal"\} \d+$/m,
    );
  });

  it("is up when up has ended after a change on trial, and for a second tunnel that joins the check", async () => {
    await up({ nas: tunnel(2223), shop: tunnel(2300, { healthIntervalSec: 86_400 }) });
    const both = { nas: "up", shop: "up" };
    expect([await statesOn(gate), await statesOn(nas)]).toEqual([both, both]);
    const [{ listens } = { listens: "" }] = (await nasOn(gate)).forwards;
    expect(listens).toBe("127.0.0.1:2223");
    for (const { connection } of await tunnelsOn(gate))
      expect(connection).toMatchObject({ connectedSince: isTime, address: nas.address, attemptsSince: 0 });
  });

  it("is up when up has ended if the tunnel is enabled again", async () => {
    await up({ nas: tunnel(2223, { enabled: false }) });
    expect([await statesOn(gate), await statesOn(nas)]).toEqual([{ nas: "disabled" }, { nas: "disabled" }]);
    await up({ nas: tunnel(2223) });
    expect([await statesOn(gate), await statesOn(nas)]).toEqual([{ nas: "up" }, { nas: "up" }]);
    expect((await nasOn(gate)).connection).toMatchObject({ connectedSince: isTime });
  });

  it("says when and from where the tunnel was last connected, and of attempts only those that name its account", async () => {
    await nas.run("systemctl stop ssh-tunnel-nas ssh-tunnel-nas-watchdog.timer");
    await until("the connection to be gone", 20, async () => {
      await look();
      return (await nasOn(gate)).connection?.connectedSince === null;
    });
    const gone = (await nasOn(gate)).connection!;
    expect(gone).toMatchObject({ lastConnected: isTime, address: nas.address, attemptsSince: 0 });
    expect((await gate.run("ssh-tunnel-status", { allowFailure: true })).stdout).toContain(
      `from ${nas.address}; no attempt to log in since`,
    );
    // Somebody who fails to log in: by the account's name, and by names that look like what sshd says of a login.
    const lie = "Accepted publickey for tunnel-nas from 198.51.100.66 port 6 ssh2";
    const names = ["tunnel-nas", "tunnel-other", lie, `x 1.2.3.4 port 1 [preauth]\n${lie}`];
    await gate.run("mkdir -p /tmp/k && ssh-keygen -q -t ed25519 -N '' -f /tmp/k/key");
    for (const name of names)
      await gate.run(
        `ssh -F /dev/null -i /tmp/k/key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -l "$(printf '${name.replace("\n", "\\n")}')" 127.0.0.1 true`,
        { allowFailure: true },
      );
    await gate.run("rm -r /tmp/k");
    await until("the attempt to be counted", 20, async () => {
      await look();
      return (await nasOn(gate)).connection?.attemptsSince === 1;
    });
    expect((await nasOn(gate)).connection).toEqual({ ...gone, attemptsSince: 1, lastAttempt: isTime });
  });

  it("still says so after the public host has booted", async () => {
    const known = (await nasOn(gate)).connection;
    await gate.reboot();
    await until("the check to have run", 60, async () => (await nasOn(gate)).connection !== null);
    expect((await nasOn(gate)).connection).toEqual(known);
    await nas.run("systemctl start ssh-tunnel-nas");
    await until("the tunnel to be connected", 30, async () => {
      await look();
      return (await nasOn(gate)).connection?.connectedSince != null;
    });
    expect((await nasOn(gate)).connection).toMatchObject({ address: nas.address, attemptsSince: 0 });
  });

  it("is found although the disk has become read-only", async () => {
    const folder = `/var/lib/${healthCheckOf()}`;
    await gate.run(`mount --bind ${folder} ${folder} && mount -o remount,bind,ro ${folder}`);
    const { checked } = await nasOn(gate);
    await until("a later check", 20, async () => {
      await look();
      return (await nasOn(gate)).checked !== checked;
    });
    expect(await nasOn(gate)).toMatchObject({ state: "up", connection: { address: nas.address } });
    await gate.run(`umount ${folder}`);
  });

  it("leaves nothing behind after destroy, on the disk neither", async () => {
    await stack.destroy();
    await expectAsBefore(nas, before[1]!);
    await expectAsBefore(gate, before[0]!);
  });
});
