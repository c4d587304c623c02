import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { FirewallPorts } from "../../components/parts/firewallPorts/firewallPorts.ts";
import { fingerprintOf } from "../../components/remote/fingerprint.ts";
import { expectTrial } from "../support/expectScript.ts";
import { gate } from "../support/hosts.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { record } from "../../tools/mocks.ts";

const token = "01234567-89ab-cdef-0123-456789abcdef";

test("the firewall's ports are one script on trial with one port per line, whether the port is known yet or not", async () => {
  expect.hasAssertions();
  const recording = await record(
    () =>
      new FirewallPorts("nas-firewall", {
        host: gate,
        ports: [{ port: 8080 }, { port: pulumi.output(20345) }],
      }),
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

test("a port has one line for each network that may reach it or one for all, with the address that it is reached at", async () => {
  const recording = await record(
    () =>
      new FirewallPorts("nas-firewall", {
        host: gate,
        ports: [
          { port: 8080, sources: ["203.0.113.0/24", "2001:0DB8::/32"] },
          { port: 8081, address: "FD00::2" },
          { port: 8082, address: "198.18.0.2", sources: ["198.51.100.7/32"] },
        ],
      }),
  );
  expect(recording.command("nas-firewall-change").values.PORTS?.split("\n")).toEqual([
    "8080 from others",
    "8080 from 203.0.113.0/24",
    "8080 from 2001:db8::/32",
    "8081 to fd00::2",
    "8082 to 198.18.0.2 from others",
    "8082 to 198.18.0.2 from 198.51.100.7",
  ]);
});

test("a port that several forwards have on the addresses of different families is opened once, for the networks of all", async () => {
  const lines = async (...all: (string[] | undefined)[]) => {
    const ports = all.map((sources) => ({ port: 8080, sources }));
    const recording = await record(() => new FirewallPorts("nas-firewall", { host: gate, ports }));
    return recording.command("nas-firewall-change").values.PORTS?.split("\n");
  };
  expect(await lines(undefined, undefined)).toEqual(["8080"]);
  expect(await lines(["203.0.113.0/24"], ["2001:db8::/32"])).toEqual([
    "8080 from others",
    "8080 from 203.0.113.0/24",
    "8080 from 2001:db8::/32",
  ]);
});

test("a port for no network at all is refused, since no firewall rule can express it", async () => {
  await expect(
    record(() => new FirewallPorts("nas-firewall", { host: gate, ports: [{ port: 8080, sources: [] }] })),
  ).rejects.toThrow("sources must be a list with at least one network");
});

test("a port that is no longer wanted stays open until another script closes it, if that is required", async () => {
  const recording = await record(
    () => new FirewallPorts("nas-firewall", { host: gate, ports: [{ port: 8080 }], keepsStale: true }),
    false,
    { firewallPorts: ({ CONFIRM }) => (CONFIRM === "yes" ? `token ${token}` : "") },
  );
  const both = ["change", "confirm"].map((run) => recording.command(`nas-firewall-${run}`).values.STALE);
  expect(both).toEqual(["keep", "keep"]);
  const { record: name, token: output } = recording.result.kept;
  expect([name, await promiseOf(output)]).toEqual(["nas-firewall", token]);
});
