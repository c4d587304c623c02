import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { HealthCheckArgs } from "../components/index.ts";
import { HealthCheck, KeyPair } from "../components/index.ts";
import { ownValues } from "./support/expectScript.ts";
import { gate, nas } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";

const health: HealthCheckArgs = {
  host: gate,
  tunnel: "nas",
  check: "health",
  command: ["nas", pulumi.output("ssh,127.0.0.1,2222,ssh")],
  intervalSec: 30,
};
const watchdog: HealthCheckArgs = {
  host: nas,
  tunnel: "nas",
  check: "watchdog",
  account: "tunnel-nas",
  command: ["ssh-tunnel-nas", "/run/ssh-tunnel-nas"],
  intervalSec: 15,
};

const serviceOf = async (args: HealthCheckArgs) => {
  const recording = await record(() => new HealthCheck("check", args));
  return recording.command("check-units-script").values.UNIT_1!.split("\n");
};

describe("a check of a tunnel", () => {
  test("is a service and the timer that starts it, of which the timer is enabled", async () => {
    const recording = await record(() => new HealthCheck("nas-health", health));
    expect(recording.childrenOf(recording.component("HealthCheck", "nas-health"))).toEqual([
      "SystemdUnits nas-health-units",
    ]);
    const { script, values } = recording.command("nas-health-units-script");
    expect(script).toBe("systemdUnits");
    expect(ownValues(values)).toMatchObject({
      PROGRAM: "/usr/local/lib/ssh-tunnel-nas/bin/health",
      UNITS: "ssh-tunnel-nas-health.service ssh-tunnel-nas-health.timer",
      START: "ssh-tunnel-nas-health.timer",
    });
    expect(values.UNIT_2!.split("\n")).toEqual(
      expect.arrayContaining(["Unit=ssh-tunnel-nas-health.service", "OnUnitActiveSec=30"]),
    );
    expect(recording.result.unit).toBe("ssh-tunnel-nas-health.timer");
  });

  test("on the public host runs as nobody in particular and remembers what it saw last", async () => {
    const unit = await serviceOf(health);
    expect(unit).toContain("DynamicUser=yes");
    expect(unit).toContain("RuntimeDirectory=ssh-tunnel-nas-health");
    expect(unit).toContain("ExecStart=/usr/local/lib/ssh-tunnel-nas/bin/health nas ssh,127.0.0.1,2222,ssh");
  });

  test("on the internal host runs as the tunnel's account, which owns the control socket", async () => {
    const unit = await serviceOf(watchdog);
    expect(unit).toContain("User=tunnel-nas");
    expect(unit).not.toContain("DynamicUser=yes");
    expect(unit.filter((line) => line.startsWith("RuntimeDirectory"))).toEqual([]);
    expect(unit).toContain("ProtectHome=yes");
  });

  test("sees the home of an account that was there before", async () => {
    expect(await serviceOf({ ...watchdog, account: "robot" })).toContain("ProtectHome=read-only");
  });

  test("passes on to its script what it is told to wait for", async () => {
    const recording = await record(() => {
      const key = new KeyPair("key", { host: nas, account: "x", file: "x.key", comment: "x" });
      new HealthCheck("nas-watchdog", watchdog, { dependsOn: [key] });
    });
    expect(recording.command("nas-watchdog-units-script").waitsFor).toContain("key-script");
  });
});
