import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { HealthCheckArgs } from "../../components/parts/healthCheck/healthCheck.ts";
import { healthCheck, healthTimer } from "../../components/parts/healthCheck/healthCheck.ts";
import { renderCheckUnit, renderPace, renderTimer } from "../../components/render/systemdUnits.ts";
import { installed } from "../support/expectScript.ts";
import { gate } from "../support/hosts.ts";
import { partOf } from "../support/partOf.ts";
import { record } from "../../tools/mocks.ts";

const args: HealthCheckArgs = {
  host: gate,
  tunnel: "nas",
  forwards: [
    "ssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback",
    pulumi.output("web,127.0.0.1,20345,tcp,127.0.0.1,80,all"),
  ],
};

const valuesOf = async (changes: Partial<HealthCheckArgs> = {}) =>
  (await partOf(() => healthCheck({ ...args, ...changes }))).values;

describe("the check of a tunnel from the public host", () => {
  test("is a list of its forwards for a service and its timer, which all tunnels of the stack share", async () => {
    const name = "ssh-tunnels-ssh-reverse-tunnel-dev-health";
    const programs = "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin";
    const lists = `/etc/ssh-reverse-tunnel/${name}`;
    const description = "Check of the reverse SSH tunnels of ssh-reverse-tunnel-dev";
    expect(await partOf(() => healthCheck(args))).toEqual({
      script: "healthCheck",
      values: {
        TUNNEL: "nas",
        LISTS: lists,
        LIST: "interval 30\nssh,127.0.0.1,2222,ssh,127.0.0.1,22,loopback\nweb,127.0.0.1,20345,tcp,127.0.0.1,80,all",
        PROGRAMS: programs,
        HEALTH_PROGRAM: installed("health"),
        PROBE_PROGRAM: installed("probe"),
        UNITS: name,
        SERVICE_UNIT: renderCheckUnit({
          description,
          environment: ["LOOKS_AS=65534:65533"],
          runtimeDirectory: name,
          remembers: true,
          command: [`${programs}/health`, lists],
          needsHome: false,
        }),
        TIMER_UNIT: renderTimer({ description, service: `${name}.service` }),
        INTERVAL: "30",
        PACE: renderPace(30),
        STATUS_PROGRAM: installed("status"),
        METRICS: `/run/${name}/ssh-tunnel-nas.prom`,
        METRICS_FOLDER: "",
      },
    });
    expect((await record(healthTimer)).result).toBe(`${name}.timer`);
  });

  test("has the same shared parts for all tunnels of a stack, whatever their intervals", async () => {
    const common = async (changes: Partial<HealthCheckArgs>) => {
      const { PROGRAMS, UNITS, SERVICE_UNIT, TIMER_UNIT, LISTS } = await valuesOf(changes);
      return { PROGRAMS, UNITS, SERVICE_UNIT, TIMER_UNIT, LISTS };
    };
    const others = { tunnel: "shop", intervalSec: 90, forwards: [], textfileDirectory: "/srv/metrics" };
    expect(await common(others)).toEqual(await common({}));
    expect(await valuesOf(others)).toMatchObject({
      LIST: "interval 90",
      INTERVAL: "90",
      PACE: renderPace(90),
    });
  });

  test("has a name that no unit of a tunnel has, and that fits even with the longest project and stack names", async () => {
    const { UNITS } = await valuesOf();
    expect(UNITS).not.toMatch(/^ssh-tunnel-/);
    // Pulumi accepts names of up to 100 characters; a temporary file with a longer name is next to a unit.
    const longest = UNITS!.replace("ssh-reverse-tunnel-dev", "x".repeat(201));
    expect(`.${longest}.service.ssh-reverse-tunnel`.length).toBeLessThan(255);
  });

  test("has its programs in the folder that the settings name", async () => {
    const { PROGRAMS, SERVICE_UNIT } = await valuesOf({ host: { ...gate, toolsDirectory: "/srv/tools" } });
    expect(PROGRAMS).toBe("/srv/tools/ssh-reverse-tunnel-dev/bin");
    expect(SERVICE_UNIT).toContain("ExecStart=/srv/tools/ssh-reverse-tunnel-dev/bin/health /etc/");
  });

  test("installs a link for a node_exporter if the settings name its folder", async () => {
    expect(await valuesOf({ textfileDirectory: "/srv/metrics" })).toMatchObject({
      METRICS_FOLDER: "/srv/metrics",
    });
    await expect(valuesOf({ textfileDirectory: "/srv/../etc" })).rejects.toThrow(
      "must be the absolute path of a folder",
    );
  });
});
