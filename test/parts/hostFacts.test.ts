import { describe, expect, test } from "vitest";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { rootShells } from "../../components/remote/rootShell.ts";
import { expectOneScript, ownValues } from "../support/expectScript.ts";
import { gate, gateKeys, nas } from "../support/hosts.ts";
import { hostKeysOf, record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

describe("the look at a host", () => {
  test("is one script, which is told whether tunnels end there", async () => {
    expect.hasAssertions();
    const recording = await record(() => new HostFacts("gate-facts", { host: gate, needsServer: true }));
    expectOneScript(recording, {
      component: ["HostFacts", "gate-facts"],
      script: "hostFacts",
      host: "gate (198.18.0.2)",
      what: "the host can be managed",
      removes: false,
      values: { NEEDS_SERVER: "yes", ROOT_SHELLS: rootShells.join("\n") },
    });
  });

  test("asks no internal host for a server", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(ownValues(recording.command("nas-facts-script").values)).toMatchObject({ NEEDS_SERVER: "no" });
  });

  test("runs without sudo, whose absence it is to explain", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(recording.command("nas-facts-script").inputs).toMatchObject({
      create: "/bin/sh -s -- apply",
      update: "/bin/sh -s -- apply",
    });
  });

  test("gives the way to be root that the host printed, and no key of that line", async () => {
    const strict = { ...nas, name: "strict" };
    const { result } = await record(() => new HostFacts("facts", { host: strict, needsServer: false }));
    expect(await promiseOf(result.rootShell)).toBe(rootShells.at(-1));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("strict (198.18.0.3)"));
  });

  test("gives plain sudo where the host printed none, since its admin is root or it was looked at long ago", async () => {
    const { result } = await record(() => new HostFacts("facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.rootShell)).toBe("sudo -n sh -s --");
  });

  test("gives the host keys that the host printed, a line each", async () => {
    const { result } = await record(() => new HostFacts("gate-facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test("takes no greeting of the admin's login shell for a key", async () => {
    const chatty = { ...nas, name: "chatty" };
    const { result } = await record(() => new HostFacts("facts", { host: chatty, needsServer: false }));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("chatty (198.18.0.3)"));
  });

  test("does not know the host keys in the preview of a first deployment, and does not guess", async () => {
    const { result } = await record(
      () => new HostFacts("gate-facts", { host: gate, needsServer: true }),
      true,
    );
    expect(await promiseOf(result.hostKeys)).toBeUndefined();
  });
});
