import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { SystemdUnits } from "../components/index.ts";
import { expectOneScript, installed } from "./support/expectScript.ts";
import { nas } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

const program = { source: "watchdog", path: "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/watchdog" };
const args = (second: string) => ({
  host: nas,
  program,
  units: { "w.service": "[Service]\nExecStart=x", "w.timer": pulumi.output(second) },
  start: "w.timer",
});

describe("systemd units", () => {
  test("are one script with the program, the units in their order, and the one to start", async () => {
    expect.hasAssertions();
    const recording = await record(() => new SystemdUnits("nas-units", args("[Timer]")));
    expectOneScript(recording, {
      component: ["SystemdUnits", "nas-units"],
      script: "systemdUnits",
      host: "nas (198.18.0.3)",
      what: "w.timer",
      values: {
        PROGRAM: "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/watchdog",
        PROGRAM_TEXT: installed("watchdog"),
        UNITS: "w.service w.timer",
        UNIT_1: "[Service]\nExecStart=x",
        UNIT_2: "[Timer]",
        START: "w.timer",
        STATUS_PROGRAM: "",
      },
    });
  });

  test("have another fingerprint where a unit has another text, and the same where all is the same", async () => {
    const fingerprint = async (text: string) => {
      const { result } = await record(() => new SystemdUnits("nas-units", args(text)));
      return promiseOf(result.fingerprint);
    };
    const one = await fingerprint("[Timer]");
    expect(one).toMatch(/^[0-9a-f]{16}$/);
    expect(await fingerprint("[Timer]")).toBe(one);
    expect(await fingerprint("[Timer]\nOnActiveSec=1")).not.toBe(one);
  });
});
