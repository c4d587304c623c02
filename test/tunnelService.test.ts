import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { KeyPair, TunnelService } from "../components/index.ts";
import { programPath, tunnelAccount } from "../components/tunnelService.ts";
import { ownValues } from "./support/expectScript.ts";
import { nas } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

const args = {
  host: nas,
  tunnel: "nas",
  account: "tunnel-nas",
  alias: "ssh-tunnel-nas",
  remoteForwards: ["127.0.0.1:2222:127.0.0.1:22", pulumi.output("*:20345:127.0.0.1:80")],
  fingerprint: "abc",
};

const unitOf = async (changes: object) => {
  const recording = await record(() => new TunnelService("nas-service", { ...args, ...changes }));
  return recording.command("nas-service-units-script").values.UNIT_1!.split("\n");
};

describe("the tunnel's service", () => {
  test("is one unit, enabled and started, with the tunnel's own program", async () => {
    const recording = await record(() => new TunnelService("nas-service", args));
    expect(recording.childrenOf(recording.component("TunnelService", "nas-service"))).toEqual([
      "SystemdUnits nas-service-units",
    ]);
    const { script, values } = recording.command("nas-service-units-script");
    expect(script).toBe("systemdUnits");
    expect(ownValues(values)).toMatchObject({
      PROGRAM: "/usr/local/lib/ssh-tunnel-nas/bin/tunnel",
      UNITS: "ssh-tunnel-nas.service",
      START: "ssh-tunnel-nas.service",
    });
    expect(Object.keys(ownValues(values)).sort()).toEqual([
      "PROGRAM",
      "PROGRAM_TEXT",
      "START",
      "UNITS",
      "UNIT_1",
    ]);
    expect(recording.result.unit).toBe("ssh-tunnel-nas.service");
    expect(recording.result.runtimeDirectory).toBe("ssh-tunnel-nas");
  });

  test("starts ssh with each forward after an -R of its own, as the tunnel's account", async () => {
    const unit = await unitOf({});
    expect(unit).toContain(
      "ExecStart=/usr/local/lib/ssh-tunnel-nas/bin/tunnel ssh-tunnel-nas -R 127.0.0.1:2222:127.0.0.1:22 -R *:20345:127.0.0.1:80",
    );
    expect(unit).toContain("User=tunnel-nas");
    expect(unit).toContain("RuntimeDirectory=ssh-tunnel-nas");
    expect(unit).toContain("RestartSec=1");
  });

  test("sees the home of an account that was there before, and no home otherwise", async () => {
    expect(await unitOf({})).toContain("ProtectHome=yes");
    expect(await unitOf({ account: "robot" })).toContain("ProtectHome=read-only");
  });

  test("restarts after the time that the settings say", async () => {
    expect(await unitOf({ restartSec: 10 })).toContain("RestartSec=10");
  });

  test("has another fingerprint, and so is restarted, when its key or client configuration is another", async () => {
    const fingerprint = async (text: string) => {
      const { result } = await record(() => new TunnelService("nas-service", { ...args, fingerprint: text }));
      return promiseOf(result.fingerprint);
    };
    const first = await fingerprint("abc");
    expect(await fingerprint("abc")).toBe(first);
    expect(await fingerprint("def")).not.toBe(first);
  });

  test("passes on to its script what it is told to wait for", async () => {
    const recording = await record(() => {
      const key = new KeyPair("key", { host: nas, account: "x", file: "x.key", comment: "x" });
      new TunnelService("nas-service", args, { dependsOn: [key] });
    });
    expect(recording.command("nas-service-units-script").waitsFor).toContain("key-script");
  });
});

test("a tunnel's account and programs are named after it", () => {
  expect(tunnelAccount("nas")).toBe("tunnel-nas");
  expect(programPath("nas", "watchdog")).toBe("/usr/local/lib/ssh-tunnel-nas/bin/watchdog");
});
