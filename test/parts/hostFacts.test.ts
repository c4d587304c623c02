import { describe, expect, test } from "vitest";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { rootShells } from "../../components/remote/rootShell.ts";
import { expectOneScript, ownValues } from "../support/expectScript.ts";
import { gate, gateKeys, nas } from "../support/hosts.ts";
import { hostKeysOf, record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

describe("the check of a host", () => {
  test("is one script, which is told whether tunnels end on the host", async () => {
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

  test("does not look for an SSH server on an internal host", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(ownValues(recording.command("nas-facts-script").values)).toMatchObject({ NEEDS_SERVER: "no" });
  });

  test("runs without sudo, since it explains what to do if sudo is missing", async () => {
    const recording = await record(() => new HostFacts("nas-facts", { host: nas, needsServer: false }));
    expect(recording.command("nas-facts-script").inputs).toMatchObject({
      create: "/bin/sh -s -- apply",
      update: "/bin/sh -s -- apply",
    });
  });

  test("returns the way to become root that the host printed, and does not take that line for a key", async () => {
    const strict = { ...nas, name: "strict" };
    const { result } = await record(() => new HostFacts("facts", { host: strict, needsServer: false }));
    expect(await promiseOf(result.rootShell)).toBe(rootShells.at(-1));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("strict (198.18.0.3)"));
  });

  test("returns plain sudo if the host printed no way, because its admin is root or an older version looked", async () => {
    const { result } = await record(() => new HostFacts("facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.rootShell)).toBe("sudo -n sh -s --");
  });

  test("returns the host keys that the host printed, one per line", async () => {
    const { result } = await record(() => new HostFacts("gate-facts", { host: gate, needsServer: true }));
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test.each([
    ["ed25519 ecdsa", ""],
    ["ecdsa", "key-types ecdsa\n"],
  ])("returns the types of keys that its sshd accepts: %s", async (types, line) => {
    const answers = {
      hostFacts: () => `root-shell ${rootShells.at(-1)}\n${line}${gateKeys.join("\n")}`,
    };
    const make = () => new HostFacts("facts", { host: gate, needsServer: true });
    const { result } = await record(make, false, answers);
    expect(await promiseOf(result.keyTypes)).toBe(types);
    expect(await promiseOf(result.hostKeys)).toEqual(gateKeys);
  });

  test("does not take a greeting of the admin's login shell for a key", async () => {
    const chatty = { ...nas, name: "chatty" };
    const { result } = await record(() => new HostFacts("facts", { host: chatty, needsServer: false }));
    expect(await promiseOf(result.hostKeys)).toEqual(hostKeysOf("chatty (198.18.0.3)"));
  });

  test("does not know the host keys in the preview of a first deployment, and does not guess them", async () => {
    const { result } = await record(
      () => new HostFacts("gate-facts", { host: gate, needsServer: true }),
      true,
    );
    expect(await promiseOf(result.hostKeys)).toBeUndefined();
  });
});
