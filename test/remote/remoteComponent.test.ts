import type * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { account } from "../../components/parts/account/account.ts";
import { fingerprintOf } from "../../components/remote/fingerprint.ts";
import { RemoteComponent, trialValues } from "../../components/remote/remoteComponent.ts";
import { expectTrial } from "../support/expectScript.ts";
import { gate } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { onePart } from "../support/onePart.ts";
import { promiseOf } from "../support/promiseOf.ts";

interface Changes {
  trialSec?: number;
  values?: Record<string, string>;
  revision?: string;
  dependsOn?: pulumi.Resource[];
}

class OnTrial extends RemoteComponent {
  constructor(name: string, { trialSec, values, revision, dependsOn }: Changes = {}) {
    super("OnTrial", name, { dependsOn });
    this.runOnTrial(
      name,
      {
        host: { ...gate, revision, trialSec },
        what: "a change",
        parts: [{ script: "sshServer", values: { ADMIN: "root", ...values } }],
      },
      "x",
      "sshd",
    );
    this.registerOutputs({});
  }
}

const deploy = (changes?: Changes) => record(() => new OnTrial("gate-x", changes));

describe("a change on trial", () => {
  test("is a script that runs twice, with one record, which the first run removes", async () => {
    expect.hasAssertions();
    expectTrial(
      await deploy(),
      { name: "x", seconds: "60" },
      {
        component: ["OnTrial", "gate-x"],
        script: "sshServer",
        host: "gate (198.18.0.2)",
        what: "a change",
        values: { ADMIN: "root" },
      },
    );
  });

  test("is rolled back after the time that its host allows", async () => {
    const { commands } = await deploy({ trialSec: 150 });
    expect(commands.map(({ values }) => values.TRIAL_SECONDS)).toEqual(["150", "150"]);
  });

  test("is uncertain only when it is confirmed, since it may have locked out the admin", async () => {
    const { commands } = await deploy();
    expect(
      commands.map(({ inputs }) => (inputs.connection as { dialErrorLimit: number }).dialErrorLimit),
    ).toEqual([10, 2]);
  });

  test("gets at least the time for the change itself, and at least what its host allows", () => {
    const seconds = (trialSec: number | undefined, least: number) =>
      trialValues({ ...gate, trialSec }, "x", "now", least).TRIAL_SECONDS;
    expect([seconds(undefined, 0), seconds(undefined, 150), seconds(180, 150)]).toEqual(["60", "150", "180"]);
  });

  test("waits both times for its dependencies", async () => {
    const { commands } = await record(() => {
      const part = account({ account: "x", group: "x", home: "/", shell: "/bin/sh" });
      new OnTrial("gate-x", { dependsOn: [onePart("a", gate, part)] });
    });
    expect(
      Object.fromEntries(commands.slice(1).map(({ name, waitsFor }) => [name, waitsFor.sort()])),
    ).toEqual({
      "gate-x-change": ["a"],
      "gate-x-confirm": ["a", "gate-x-change"],
    });
  });

  test("has a new fingerprint if it changes, and the same one if only the revision changes", async () => {
    const fingerprint = async (changes?: Changes) => promiseOf((await deploy(changes)).result.fingerprint);
    const first = await fingerprint();
    expect(first).toMatch(/^[0-9a-f]{16}$/);
    expect(await fingerprint({ revision: "2" })).toBe(first);
    expect(await fingerprint({ values: { ADMIN: "alice" } })).not.toBe(first);
  });
});

test("a fingerprint is short, and the same for the same text", () => {
  expect(fingerprintOf("a")).toMatch(/^[0-9a-f]{16}$/);
  expect(fingerprintOf("a")).toBe(fingerprintOf("a"));
  expect(fingerprintOf("b")).not.toBe(fingerprintOf("a"));
});
