import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { StackError } from "../../lab/stack.ts";
import { until } from "./support/until.ts";

type Settings = Record<string, unknown>;

describe("a host that is off, or whose tunnel is not wanted at present,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let shop: Host;
  let stack: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "off-hosts", hosts: ["gate", "nas", "shop"] });
    [gate, nas, shop] = [lab.host("gate"), lab.host("nas"), lab.host("shop")];
    stack = await openProgram(lab, { env: { PULUMI_CONTINUE_ON_ERROR: "true" } });
  });
  afterAll(() => Lab.clear("off-hosts"));

  const tunnel = (host: Host, remotePort: number, own: Settings = {}) => ({
    ...labAdmin(lab, host),
    forwards: {
      ssh: { remotePort, target: 22 },
      web: { remotePort: "auto", target: 80, ...(own.web as object) },
    },
    logins: [{ from: "root", to: "root" }],
    ...Object.fromEntries(Object.entries(own).filter(([key]) => key !== "web")),
  });
  /** The settings, with something different for nas or shop. */
  const settings = (own: { nas?: Settings; shop?: Settings; shopPort?: number; gate?: Settings } = {}) =>
    stack.setConfig({
      publicHosts: { gate: { ...labAdmin(lab, gate), ...own.gate } },
      internalHosts: {
        nas: tunnel(nas, 2222, own.nas),
        shop: tunnel(shop, own.shopPort ?? 2223, own.shop),
      },
    });
  const exitCode = async (host: Host, command: string) =>
    (await host.run(command, { allowFailure: true, timeoutSeconds: 60 })).exitCode;
  /** What both ends have of a tunnel, and how many resources the state has. */
  const inState = async (name: string) => {
    const { resources } = (await stack.export()).deployment as unknown as {
      resources: { urn: string; inputs?: unknown; outputs?: unknown; dependencies?: string[] }[];
    };
    return (
      resources
        .filter(({ urn }) => urn.split("::").at(-1)!.startsWith(name))
        // What is secret is encrypted anew each time.
        .map(({ urn, inputs, outputs }) =>
          JSON.stringify({ urn, inputs, outputs }).replaceAll(/"ciphertext":"[^"]*"/g, '"ciphertext":""'),
        )
        .sort()
    );
  };

  it("gets nothing if it is skipped from the beginning, and the others come up", async () => {
    await settings({ shop: { skip: true } });
    await shop.powerCut();
    const { outputs, diagnostics } = await stack.up();
    expect(Object.keys(outputs.endpoints as object)).toEqual(["nas"]);
    expect(diagnostics).toContain("info: shop: skipped; nothing is planned there until 'skip' is removed");
    expect(diagnostics).toContain("info: 3 hosts: 0 up to date, 2 changed, 0 failed, 1 skipped");
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    expect(await exitCode(gate, "getent passwd tunnel-shop")).not.toBe(0);
    expect(await inState("shop")).toEqual([]);
  });

  it("is set up once it is no longer skipped", async () => {
    await shop.boot();
    await settings();
    const { diagnostics } = await stack.up();
    expect((await gate.run("ssh shop hostname")).stdout).toBe("shop");
    expect(diagnostics).toContain("info: 3 hosts: 2 up to date, 1 changed, 0 failed");
  });

  it("keeps its state while it is skipped, whatever changes in its settings, and the others change", async () => {
    const before = await inState("shop");
    expect(before.length).toBeGreaterThan(10);
    await shop.powerCut();
    await settings({
      nas: { watchdogIntervalSec: 20 },
      shop: { skip: true, logins: undefined, watchdogIntervalSec: 20 },
      shopPort: 2230,
    });
    const planned = await stack.preview();
    const { changes, outputs, stdout } = await stack.up();
    expect(changes).toEqual(planned.changes);
    expect(changes).not.toHaveProperty("create");
    expect(changes).not.toHaveProperty("delete");
    expect(stdout).not.toMatch(/shop\S* +(creat|updat|delet)/);
    expect(await inState("shop")).toEqual(before);
    expect(outputs.endpoints).toMatchObject({ shop: { ssh: { endpoint: "127.0.0.1:2223" } } });
    expect((await nas.run("cat /etc/systemd/system/ssh-tunnel-nas-watchdog.timer")).stdout).toContain("20");
  });

  it("is not planned for in later runs either", async () => {
    const { changes } = await stack.preview();
    expect(Object.keys(changes)).toEqual(["same"]);
  });

  it("is removed in the right order if everything is destroyed after it was skipped", async () => {
    const { resources } = (await stack.export()).deployment as unknown as {
      resources: { urn: string; dependencies?: string[] }[];
    };
    const of = (name: string) => resources.find(({ urn }) => urn.endsWith(`::${name}`))?.dependencies ?? [];
    const names = (name: string) => of(name).map((urn) => urn.split("::").at(-1));
    expect(names("shop-start")).toContain("shop-on.gate-admit");
    expect(names("shop-on.gate-admit")).toEqual(
      expect.arrayContaining(["shop-prepare", "gate-server-confirm"]),
    );
    expect(names("shop-prepare")).toContain("shop-tools-script");
  });

  it("gets what has changed once it is no longer skipped", async () => {
    await shop.boot();
    await settings({ nas: { watchdogIntervalSec: 20 }, shopPort: 2230 });
    await stack.up();
    expect((await gate.run("ssh shop hostname")).stdout).toBe("shop");
    expect((await gate.run("ss -Htln 'sport = :2230 or sport = :2223'")).stdout).toMatch(
      /^\S.*:2230\b[^\n]*$/,
    );
  });

  it("leaves a tunnel out as a whole if the public host is skipped", async () => {
    const before = [...(await inState("shop-on.gate")), ...(await inState("gate"))];
    await settings({
      gate: { skip: true },
      nas: { watchdogIntervalSec: 25 },
      shop: { watchdogIntervalSec: 25 },
      shopPort: 2230,
    });
    await gate.cutLink();
    const { changes } = await stack.up();
    await gate.restoreLink();
    expect(Object.keys(changes)).toEqual(["same"]);
    expect([...(await inState("shop-on.gate")), ...(await inState("gate"))]).toEqual(before);
  });

  it("has no tunnel while it is disabled, at either end, but keeps everything else", async () => {
    await settings({ shopPort: 2230 });
    await stack.up();
    const lasting = async () => {
      const inside = await nas.run("cat /etc/systemd/system/ssh-tunnel-nas* /root/.ssh/authorized_keys");
      const outside = await gate.run("cat /root/.ssh/ssh-reverse-tunnel/nas.* && id tunnel-nas");
      return [inside.stdout, outside.stdout];
    };
    const before = await lasting();
    const keys = "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys";
    const permits = (await gate.run(`cat ${keys}`)).stdout;
    const port = (await gate.run("grep -o 'permitlisten=[^,]*' " + keys)).stdout;

    // Somebody else logs in with the key, and stays.
    await nas.run("systemd-run -q --uid=tunnel-nas ssh -N -S none -o ClearAllForwardings=yes ssh-tunnel-nas");
    const sessions = async () =>
      (await gate.run("pgrep -u tunnel-nas", { allowFailure: true })).stdout.split("\n").filter(Boolean)
        .length;
    await until("a second session of the account", 60, async () => (await sessions()) === 2);

    await settings({ shopPort: 2230, nas: { enabled: false } });
    await stack.up();
    expect(await sessions()).toBe(0);
    expect(await exitCode(nas, "systemctl is-enabled ssh-tunnel-nas.service")).not.toBe(0);
    expect(await exitCode(nas, "systemctl is-active ssh-tunnel-nas.service")).not.toBe(0);
    expect(await exitCode(nas, "systemctl is-active ssh-tunnel-nas-watchdog.timer")).not.toBe(0);
    expect((await gate.run("ss -Htln 'sport = :2222'")).stdout).toBe("");
    // Whoever has the key cannot use it.
    const refused = await nas.run("runuser -u tunnel-nas -- ssh -T -S none ssh-tunnel-nas listeners 2>&1", {
      allowFailure: true,
    });
    expect(refused.stdout).toContain("Permission denied");
    expect(await lasting()).toEqual(before);
    expect((await gate.run("grep -o 'permitlisten=[^,]*' " + keys)).stdout).toBe(port);

    for (const host of [gate, nas]) {
      const status = await host.run("ssh-tunnel-status nas", { allowFailure: true });
      expect(status.stdout, host.name).toContain("disabled");
      expect(status.exitCode, host.name).toBe(0);
      const json = await host.run("ssh-tunnel-status --json nas");
      expect(JSON.parse(json.stdout), host.name).toMatchObject({
        tunnels: [{ tunnel: "nas", state: "disabled" }],
      });
    }
    expect((await gate.run("ls /run/ssh-tunnels-*-health")).stdout).not.toContain("nas");
    // It stays so after a reboot, and the other tunnel is there.
    await nas.reboot();
    expect(await exitCode(nas, "systemctl is-active ssh-tunnel-nas.service")).not.toBe(0);
    expect((await gate.run("ssh shop hostname")).stdout).toBe("shop");

    await settings({ shopPort: 2230 });
    await stack.up();
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    expect((await gate.run(`cat ${keys}`)).stdout).toBe(permits);
    expect(await lasting()).toEqual(before);
    await until(
      "the health check to see the tunnel",
      60,
      async () => (await exitCode(gate, "ssh-tunnel-status nas")) === 0,
    );
  });

  it("keeps its other forwards if one is disabled, and the same port for it later", async () => {
    const listeners = async () =>
      (await gate.run("ss -Htlnp | awk '/sshd/ { print $4 }' | sort")).stdout.split("\n");
    const before = await listeners();
    await settings({ shopPort: 2230, nas: { web: { enabled: false } } });
    await stack.up();
    const during = await listeners();
    expect(during).toHaveLength(before.length - 1);
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    await settings({ shopPort: 2230 });
    await stack.up();
    expect(await listeners()).toEqual(before);
  });

  it("is named in one summary, with its sentence, if it fails, and what does not depend on it is done", async () => {
    await shop.powerCut();
    await stack.setConfig({ revision: "2" });
    const error = (await stack.up().catch((reason: unknown) => reason)) as StackError;
    expect(error).toBeInstanceOf(StackError);
    const summary = error.diagnostics.filter((line) => line.includes(" hosts: "));
    expect(summary).toEqual([
      expect.stringMatching(
        /^warning: 3 hosts: 0 up to date, 2 changed, 1 failed\n {2}failed: shop \(\S+\) cannot be reached on port 22; check/,
      ),
    ]);
    await shop.boot();
    await stack.up();
  });

  it("is removed at the public host, without contact, if it will not come back, and can be set up again", async () => {
    await shop.powerCut();
    await settings({ shopPort: 2230, shop: { gone: true } });
    await stack.up();
    expect(await exitCode(gate, "getent passwd tunnel-shop")).not.toBe(0);
    expect(
      (await gate.run("ls /etc/ssh/ssh-reverse-tunnel /root/.ssh/ssh-reverse-tunnel")).stdout,
    ).not.toMatch(/shop/);
    expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
    await stack.setConfig({ internalHosts: { nas: tunnel(nas, 2222) } });
    await stack.up();
    expect(await inState("shop")).toEqual([]);
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    await shop.boot();
    await settings({ shopPort: 2230 });
    await stack.up();
    expect((await gate.run("ssh shop hostname")).stdout).toBe("shop");
  });

  it("leaves nothing when everything is destroyed while the public host of all tunnels is skipped", async () => {
    await settings({ shopPort: 2230, gate: { skip: true } });
    expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
    await stack.destroy();
    for (const host of [gate, nas, shop]) {
      expect(await exitCode(host, "ls -d /var/lib/ssh-reverse-tunnel"), host.name).not.toBe(0);
    }
  });
});
