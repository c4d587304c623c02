import { describe, expect, test } from "vitest";
import { Account } from "../components/index.ts";
import { fingerprintOf, RemoteComponent } from "../components/remoteComponent.ts";
import { expectTrial } from "./support/expectScript.ts";
import { gate } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

interface Changes {
  seconds?: number;
  ifRefused?: string;
  values?: Record<string, string>;
  revision?: string;
  dependsOn?: RemoteComponent[];
}

class OnTrial extends RemoteComponent {
  constructor(name: string, { seconds, ifRefused, values, revision, dependsOn }: Changes = {}) {
    super("OnTrial", name, { dependsOn });
    this.runOnTrial(
      name,
      {
        host: { ...gate, revision },
        what: "a change",
        parts: [{ script: "sshServer", values: { ADMIN: "root", ...values } }],
      },
      { name: "x", seconds, ifRefused },
    );
    this.registerOutputs({});
  }
}

const deploy = (changes?: Changes) => record(() => new OnTrial("gate-x", changes));

describe("a change on trial", () => {
  test("is a script that runs twice, on one record, which the first removes", async () => {
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

  test("comes back after the time that it is given", async () => {
    const { commands } = await deploy({ seconds: 150 });
    expect(commands.map(({ values }) => values.TRIAL_SECONDS)).toEqual(["150", "150"]);
  });

  test("is doubtful only as it is confirmed, and only where it can shut out the admin", async () => {
    const limits = async (changes: Changes) =>
      (await deploy(changes)).commands.map(
        ({ inputs }) => (inputs.connection as { dialErrorLimit: number }).dialErrorLimit,
      );
    expect(await limits({})).toEqual([10, 10]);
    expect(await limits({ ifRefused: "it goes back by itself" })).toEqual([10, 2]);
  });

  test("waits, both times, for what it is told to wait for", async () => {
    const { commands } = await record(() => {
      const account = new Account("a", { host: gate, account: "x", group: "x", home: "/", shell: "/bin/sh" });
      new OnTrial("gate-x", { dependsOn: [account] });
    });
    expect(
      Object.fromEntries(commands.slice(1).map(({ name, waitsFor }) => [name, waitsFor.sort()])),
    ).toEqual({
      "gate-x-change": ["a-script"],
      "gate-x-confirm": ["a-script", "gate-x-change"],
    });
  });

  test("has another fingerprint where it is another, and the same for another revision", async () => {
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
