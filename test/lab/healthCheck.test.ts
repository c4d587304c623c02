import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { healthCheck } from "../../components/parts/healthCheck/healthCheck.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { openStack } from "../../lab/stack.ts";
import type { HostStatus } from "../../tools/status.ts";
import { onePart } from "../support/onePart.ts";
import { expectAsBefore, type HostState, hostState } from "./support/hostState.ts";

const metrics = "/var/lib/metrics";

/** Two tunnels of one stack and one of another. Their forwards lead to the host's own sshd. The tests are a story. */
describe("the health check on a public host", () => {
  let lab: Lab;
  let gate: Host;
  let before: HostState;
  /** The intervals of each stack's tunnels. */
  const wanted: Record<"one" | "two", Record<string, number>> = {
    one: { nas: 3600, shop: 3600 },
    two: { other: 3600 },
  };
  /** Each tunnel's account listens on a port of its own, and not on its neighbour's. */
  const ports: Record<string, number> = { nas: 2401, shop: 2402, other: 2403 };
  let more: string[] = [];
  const stacks = {} as Record<keyof typeof wanted, LabStack>;

  beforeAll(async () => {
    lab = await Lab.up({ name: "health", hosts: ["gate"] });
    gate = lab.host("gate");
    for (const [tunnel, port] of Object.entries(ports))
      await gate.run(
        `useradd --system tunnel-${tunnel}
        systemd-run --quiet --unit listener-${tunnel} --uid tunnel-${tunnel} python3 -c \
          'import socket, time; s = socket.create_server(("127.0.0.1", ${port})); time.sleep(100000)'
        until ss -Hltn 'sport = :${port}' | grep -q .; do sleep 0.05; done`,
      );
    before = await hostState(gate);
    for (const name of ["one", "two"] as const) {
      stacks[name] = await openStack({
        project: "p",
        stack: name,
        program: () => {
          const host = hostWithTools(lab, gate);
          for (const [tunnel, intervalSec] of Object.entries(wanted[name])) {
            const forwards = [`ssh,127.0.0.1,${ports[tunnel]},ssh,127.0.0.1,22,loopback`, ...more];
            onePart(
              tunnel,
              host,
              healthCheck({ host, tunnel, forwards, intervalSec, textfileDirectory: metrics }),
            );
          }
          return Promise.resolve();
        },
        directory: `${lab.directory}/stacks/${name}`,
      });
    }
    await Promise.all([stacks.one.up(), stacks.two.up()]);
  });

  afterAll(() => Lab.clear("health"));

  const onGate = async (command: string) => (await gate.run(command)).stdout;
  const units = (stack: string) => `ssh-tunnels-p-${stack}-health`;
  const look = (stack: string) => onGate(`systemctl start ${units(stack)}`);
  /** The public facts about each tunnel. */
  const status = async () => {
    const { stdout } = await gate.run("su alice -c 'ssh-tunnel-status --json'", { allowFailure: true });
    const { tunnels } = JSON.parse(stdout) as HostStatus;
    return Object.fromEntries(tunnels.map(({ tunnel, state }) => [tunnel, state]));
  };
  const inFolder = async (folder: string) => (await onGate(`ls ${folder}`)).split("\n");
  const paces = async (stack: string) =>
    (await onGate(`systemctl show -p TimersMonotonic ${units(stack)}.timer`))
      .split("\n")
      .flatMap((line) => /OnUnitActiveUSec=(\S.*?) ;/.exec(line)?.[1] ?? [])
      .sort();

  it("is one service and one timer for all tunnels of a stack, with a list for each", async () => {
    const files = await onGate("cd /etc/systemd/system && ls -d ssh-tunnel*");
    expect(files.split("\n").sort()).toEqual(
      ["one", "two"].flatMap((stack) =>
        ["service", "timer", "timer.d"].map((suffix) => `${units(stack)}.${suffix}`),
      ),
    );
    expect(await inFolder(`/etc/ssh-reverse-tunnel/${units("one")}`)).toEqual(["nas", "shop"]);
    expect(await inFolder(`/etc/ssh-reverse-tunnel/${units("two")}`)).toEqual(["other"]);
    expect(await paces("one")).toEqual(["1h"]);
  });

  it("has checked each of them soon after up", async () => {
    await expect
      .poll(status, { timeout: 60_000, interval: 500 })
      .toEqual({ nas: "up", shop: "up", other: "up" });
    expect(await inFolder(metrics)).toEqual(
      ["nas", "other", "shop"].map((name) => `ssh-tunnel-${name}.prom`),
    );
    expect(await onGate(`cat ${metrics}/* | grep -c '^ssh_tunnel_up.* 1$'`)).toBe("3");
  });

  it("does not change in a second up", async () => {
    for (const stack of Object.values(stacks)) {
      await stack.setConfig({});
      expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
    }
  });

  it("reads lists that only root can write, and runs without any of root's rights", async () => {
    expect(
      await onGate(
        `find /etc/ssh-reverse-tunnel /opt/ssh-reverse-tunnel /run/ssh-tunnels-* ! -user root -o ! -type l -perm /022`,
      ),
    ).toBe("");
    // It waits for something that a listener does not report.
    more = [`silent,127.0.0.1,${ports["other"]},ssh,127.0.0.1,22,loopback,banner`];
    wanted.two = { other: 3600 };
    await stacks.two.up();
    const said = await onGate(
      `for i in $(seq 600); do
         systemctl start --no-block ${units("two")}
         pid=$(pgrep -f '[b]in/probe' | head -n 1) && grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Seccomp):' /proc/$pid/status && break
         sleep 0.1
       done`,
    );
    expect(said.split("\n").map((line) => line.replaceAll(/\s+/g, " ").trim())).toEqual([
      "Uid: 65534 65534 65534 65534",
      "Gid: 65533 65533 65533 65533",
      "Groups:",
      "CapInh: 0000000000000000",
      "CapPrm: 0000000000000000",
      "CapEff: 0000000000000000",
      "CapAmb: 0000000000000000",
      "NoNewPrivs: 1",
      "Seccomp: 2",
    ]);
    await expect
      .poll(status, { timeout: 60_000, interval: 500 })
      .toEqual({ nas: "up", shop: "up", other: "down" });
    more = [];
    await stacks.two.up();
    await expect.poll(async () => (await status())["other"], { timeout: 120_000, interval: 500 }).toBe("up");
  });

  it("runs as often as the shortest interval in its stack requires, and reads a changed list soon", async () => {
    wanted.one = { nas: 3600, shop: 7200 };
    const { stdout } = await stacks.one.up();
    expect(stdout).toContain(`wrote /etc/ssh-reverse-tunnel/${units("one")}/shop`);
    expect(await paces("one")).toEqual(["1h", "2h"]);
    expect(await paces("two")).toEqual(["1h"]);
    const interval = async () => await onGate(`cut -f 3 /run/${units("one")}/shop.state`);
    await expect.poll(interval, { timeout: 120_000, interval: 500 }).toBe("7200");
    wanted.one = { nas: 3600, shop: 3600 };
    await stacks.one.up();
    expect(await paces("one")).toEqual(["1h"]);
    await expect.poll(interval, { timeout: 120_000, interval: 500 }).toBe("3600");
  });

  it("checks every other tunnel although one list is broken", async () => {
    const lists = `/etc/ssh-reverse-tunnel/${units("one")}`;
    const checked = () => onGate(`cut -f 4 /run/${units("one")}/shop.state`);
    await gate.run(`head -c 1000 /dev/urandom >${lists}/nas; chmod 600 ${lists}/nas`);
    const was = await checked();
    await expect
      .poll(
        async () => {
          await look("one");
          return checked();
        },
        { timeout: 30_000 },
      )
      .not.toBe(was);
    await stacks.one.setConfig({});
    wanted.one = { nas: 1800, shop: 3600 };
    expect((await stacks.one.up()).stdout).toContain(`wrote ${lists}/nas`);
    expect(await onGate(`stat -c %a ${lists}/nas`)).toBe("644");
    expect(await status()).toMatchObject({ nas: "up", shop: "up" });
  });

  it("drops what belongs to a removed tunnel, and checks the others as before", async () => {
    const since = await onGate(`cut -f 10 /run/${units("one")}/shop.state`);
    wanted.one = { shop: 3600 };
    await stacks.one.up();
    expect(await inFolder(`/etc/ssh-reverse-tunnel/${units("one")}`)).toEqual(["shop"]);
    expect(await paces("one")).toEqual(["1h"]);
    expect(await onGate("ls -d /run/ssh-tunnels-*/nas* /run/ssh-tunnels-*/*-nas.prom 2>/dev/null || :")).toBe(
      "",
    );
    expect(await inFolder(metrics)).toEqual(["ssh-tunnel-other.prom", "ssh-tunnel-shop.prom"]);
    await look("one");
    expect(await status()).toEqual({ shop: "up", other: "up" });
    expect(await onGate(`cut -f 10 /run/${units("one")}/shop.state`)).toBe(since);
    expect(await onGate("systemctl list-units --failed --no-legend 'ssh-tunnel*'")).toBe("");
  });

  it("is removed with the last tunnel of its stack, and leaves everything of other stacks", async () => {
    await stacks.one.destroy();
    expect(
      await onGate("ls -d /etc/systemd/system/ssh-tunnel* /run/ssh-tunnel* /etc/ssh-reverse-tunnel/*"),
    ).toBe(
      [
        `/etc/ssh-reverse-tunnel/${units("two")}`,
        ...["service", "timer", "timer.d"].map((suffix) => `/etc/systemd/system/${units("two")}.${suffix}`),
        `/run/${units("two")}`,
      ].join("\n"),
    );
    await look("two");
    expect(await status()).toEqual({ other: "up" });
  });

  it("leaves nothing when the last stack is destroyed", async () => {
    await stacks.two.destroy();
    await expectAsBefore(gate, before);
  });
});
