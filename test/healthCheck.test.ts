import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { HealthCheckArgs } from "../components/index.ts";
import { HealthCheck, KeyPair } from "../components/index.ts";
import { installed, ownValues } from "./support/expectScript.ts";
import { gate, nas } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

const args: HealthCheckArgs = {
  host: gate,
  tunnel: "nas",
  account: "tunnel-nas",
  forwards: [
    "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback",
    pulumi.output("web,127.0.0.1,20345,tcp,127.0.0.1,80,all"),
  ],
};

const valuesOf = async (changes: Partial<HealthCheckArgs> = {}) => {
  const recording = await record(() => new HealthCheck("nas-health", { ...args, ...changes }));
  return recording.command("nas-health-units-script").values;
};

describe("the check of a tunnel from the public host", () => {
  test("is a service and the timer that starts it, of which the timer is enabled", async () => {
    const recording = await record(() => new HealthCheck("nas-health", args));
    expect(recording.childrenOf(recording.component("HealthCheck", "nas-health"))).toEqual([
      "SystemdUnits nas-health-units",
    ]);
    const { script, values } = recording.command("nas-health-units-script");
    expect(script).toBe("systemdUnits");
    expect(ownValues(values)).toMatchObject({
      PROGRAM: "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/health",
      PROGRAM_TEXT: installed("health"),
      UNITS: "ssh-tunnel-nas-health.service ssh-tunnel-nas-health.timer",
      START: "ssh-tunnel-nas-health.timer",
    });
    expect(recording.result.unit).toBe("ssh-tunnel-nas-health.timer");
  });

  test("runs every 30 seconds, or as often as it is told to", async () => {
    const timer = async (changes?: Partial<HealthCheckArgs>) => (await valuesOf(changes)).UNIT_2!.split("\n");
    expect(await timer()).toEqual(
      expect.arrayContaining(["Unit=ssh-tunnel-nas-health.service", "OnUnitActiveSec=30"]),
    );
    expect(await timer({ intervalSec: 90 })).toContain("OnUnitActiveSec=90");
  });

  test("looks at each forward as the tunnel's account, and keeps what it sees where everyone may read it", async () => {
    const unit = (await valuesOf()).UNIT_1!.split("\n");
    expect(unit).toEqual(
      expect.arrayContaining([
        "ProtectHome=yes",
        "RuntimeDirectory=ssh-tunnel-nas-health",
        "RuntimeDirectoryPreserve=yes",
        "Environment=CHECK_INTERVAL=30 ACCOUNT=tunnel-nas",
        "ExecStart=/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/health keep nas ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback web,127.0.0.1,20345,tcp,127.0.0.1,80,all",
      ]),
    );
    // Only root may look into the folder of a dynamic account.
    expect(unit.join("\n")).not.toContain("DynamicUser");
  });

  test("installs ssh-tunnel-status, and a link for a node_exporter where the settings name its folder", async () => {
    expect(await valuesOf()).toMatchObject({
      STATUS_PROGRAM: installed("status"),
      METRICS: "/run/ssh-tunnel-nas-health/ssh-tunnel-nas.prom",
      METRICS_FOLDER: "",
    });
    expect(await valuesOf({ textfileDirectory: "/srv/metrics" })).toMatchObject({
      METRICS_FOLDER: "/srv/metrics",
    });
    await expect(valuesOf({ textfileDirectory: "/srv/../etc" })).rejects.toThrow(
      "must be the absolute path of a folder",
    );
  });

  test("passes on to its script what it is told to wait for", async () => {
    const recording = await record(() => {
      const key = new KeyPair("key", { host: nas, account: "x", file: "x.key", comment: "x" });
      new HealthCheck("nas-health", args, { dependsOn: [key] });
    });
    expect(recording.command("nas-health-units-script").waitsFor).toContain("key-script");
  });
});
