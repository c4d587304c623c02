import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { resolveForward } from "../components/forward.ts";
import { TunnelCheck } from "../components/index.ts";
import { expectOneScript, ownValues } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";

const ssh = { forward: resolveForward("ssh", { remotePort: 2222, target: 22 }), port: 2222 };
const args = { host: gate, forwards: [ssh], lookAt: "the journal", fingerprint: "abc" };

describe("the check of a tunnel", () => {
  test("is one script with each forward's name, address, port, protocol and target a line", async () => {
    expect.hasAssertions();
    const web = {
      forward: resolveForward("web", { remotePort: "auto", target: "[fd00::5]:80", listen: "all" }),
      port: pulumi.output(20345),
    };
    const recording = await record(() => new TunnelCheck("nas-check", { ...args, forwards: [ssh, web] }));
    expectOneScript(recording, {
      component: ["TunnelCheck", "nas-check"],
      script: "tunnelCheck",
      host: "gate (198.18.0.2)",
      what: "each forward works",
      removes: false,
      values: {
        FORWARDS: "ssh 127.0.0.1 2222 ssh 127.0.0.1:22\nweb 127.0.0.1 20345 tcp [fd00::5]:80",
        SECONDS_TO_WAIT: "30",
        LOOK_AT: "the journal",
        FINGERPRINT: "abc",
      },
    });
  });

  test("waits as long as it is told to", async () => {
    const recording = await record(() => new TunnelCheck("nas-check", { ...args, timeoutSec: 90 }));
    expect(ownValues(recording.command("nas-check-script").values)).toMatchObject({ SECONDS_TO_WAIT: "90" });
  });
});
