import { describe, expect, test } from "vitest";
import { InternalHost } from "../components/index.ts";
import { keyPair } from "../components/parts/keyPair/keyPair.ts";
import { rootShells } from "../components/remote/rootShell.ts";
import { nas, nasKeys } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";
import { onePart } from "./support/onePart.ts";
import { promiseOf } from "./support/promiseOf.ts";

const { connection } = nas;

describe("an internal host", () => {
  test("has a check of the host, which returns its host keys, and its tools", async () => {
    const recording = await record(
      () => new InternalHost("nas", { connection, revision: "2", stackId: "a1b2" }),
    );
    expect(recording.childrenOf(recording.component("InternalHost", "nas"))).toEqual([
      "HostFacts nas-facts",
      "HostTools nas-tools",
    ]);
    expect(recording.command("nas-facts-script").values).toMatchObject({
      NEEDS_SERVER: "no",
      REVISION: "2",
      STACK_ID: "a1b2",
    });
    expect(await promiseOf(recording.result.hostKeys)).toEqual(nasKeys);
  });

  test("may be reached through its tunnel, which is passed to every script on it", async () => {
    const recording = await record(() => {
      const { host } = new InternalHost("nas", { connection, throughTunnel: "gate" });
      onePart("key", host, keyPair({ account: "x", file: "x.key", comment: "x" }));
      return host.throughTunnel;
    });
    expect(recording.result).toBe("gate");
    expect(recording.commands.map(({ values }) => values.HOST)).toEqual([
      "nas (through its tunnel to gate)",
      "nas (through its tunnel to gate)",
      "nas (through its tunnel to gate)",
    ]);
  });

  test("makes each script root in the way that the check of the host found", async () => {
    const recording = await record(() => {
      const { host } = new InternalHost("strict", { connection });
      onePart("key", host, keyPair({ account: "x", file: "x.key", comment: "x" }));
    });
    expect(recording.command("key").inputs.create).toBe(`${rootShells.at(-1)} apply`);
  });

  test("runs no other script before the check and the tools", async () => {
    const recording = await record(() => {
      const { host } = new InternalHost("nas", { connection });
      onePart("key", host, keyPair({ account: "x", file: "x.key", comment: "x" }));
    });
    expect(recording.command("key").waitsFor).toEqual(["nas-facts-script", "nas-tools-script"]);
  });
});
