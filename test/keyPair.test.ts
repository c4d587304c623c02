import { describe, expect, test } from "vitest";
import { KeyPair } from "../components/index.ts";
import { expectOneScript } from "./support/expectScript.ts";
import { nas } from "./support/hosts.ts";
import { publicKeyOf, record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

const args = { host: nas, account: "tunnel-nas", file: "nas.key", comment: "tunnel-nas@nas" };

describe("a key pair", () => {
  test("is one script with its account, its file and its comment", async () => {
    expect.hasAssertions();
    const recording = await record(() => new KeyPair("nas-key", args));
    expectOneScript(recording, {
      component: ["KeyPair", "nas-key"],
      script: "keyPair",
      host: "nas (198.18.0.3)",
      what: "the key pair nas.key of tunnel-nas",
      values: { ACCOUNT: "tunnel-nas", FILE: "nas.key", COMMENT: "tunnel-nas@nas" },
    });
  });

  test("gives no greeting of the admin's login shell for a key", async () => {
    const host = { ...nas, name: "chatty" };
    const { result } = await record(() => new KeyPair("nas-key", { ...args, host }));
    expect(await promiseOf(result.publicKey)).toBe(publicKeyOf("nas.key", "tunnel-nas@nas"));
  });

  test("gives the public half, as the host printed it", async () => {
    const { result } = await record(() => new KeyPair("nas-key", args));
    expect(await promiseOf(result.publicKey)).toBe(publicKeyOf("nas.key", "tunnel-nas@nas"));
  });
});
