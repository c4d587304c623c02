import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { FirewallPorts } from "../components/index.ts";
import { fingerprintOf } from "../components/remoteComponent.ts";
import { expectTrial } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";

test("the firewall's ports are one script on trial with a port a line, known or not yet known", async () => {
  expect.hasAssertions();
  const recording = await record(
    () => new FirewallPorts("nas-firewall", { host: gate, ports: [8080, pulumi.output(20345)] }),
  );
  const trial = { name: `firewall-${fingerprintOf("nas-firewall")}`, seconds: "60" };
  expectTrial(recording, trial, {
    component: ["FirewallPorts", "nas-firewall"],
    script: "firewallPorts",
    host: "gate (198.18.0.2)",
    what: "the firewall",
    values: { PORTS: "8080\n20345" },
  });
});
