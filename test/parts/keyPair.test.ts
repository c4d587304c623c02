import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import type { Host } from "../../components/index.ts";
import { keyPair, publicKeyFrom } from "../../components/parts/keyPair/keyPair.ts";
import { remoteScript } from "../../components/remote/remoteScript.ts";
import { nas } from "../support/hosts.ts";
import { onePart } from "../support/onePart.ts";
import { partOf } from "../support/partOf.ts";
import { publicKeyOf, record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

const args = { account: "tunnel-nas", file: "nas.key", comment: "tunnel-nas@nas" };

describe("a key pair", () => {
  test("is a part with its account, its file and its comment", async () => {
    expect(await partOf(() => keyPair(args))).toEqual({
      script: "keyPair",
      values: {
        ACCOUNT: "tunnel-nas",
        FILE: "nas.key",
        COMMENT: "tunnel-nas@nas",
        TYPES: "ed25519 ecdsa",
      },
    });
  });

  test("is of a type that the other side accepts", async () => {
    expect((await partOf(() => keyPair({ ...args, types: "ecdsa" }))).values).toMatchObject({
      TYPES: "ecdsa",
    });
  });

  test("may be an ecdsa key", async () => {
    const line = "ecdsa-sha2-nistp256 AAAA tunnel-nas@nas";
    const stdout = pulumi.output(`key tunnel-nas/nas.key ${line}\n`);
    expect((await record(() => promiseOf(publicKeyFrom(nas, stdout, args)))).result).toBe(line);
  });

  const printedBy = async (host: Host, preview = false) => {
    const run = () => promiseOf(publicKeyFrom(host, onePart("x", host, keyPair(args)).stdout, args));
    return (await record(run, preview)).result;
  };

  test("returns the public half, as the host printed it", async () => {
    expect(await printedBy(nas)).toBe(publicKeyOf("nas.key", "tunnel-nas@nas"));
  });

  test("does not take a greeting of the admin's login shell for a key", async () => {
    expect(await printedBy({ ...nas, name: "chatty" })).toBe(publicKeyOf("nas.key", "tunnel-nas@nas"));
  });

  test("has no known public key in the preview of a first deployment", async () => {
    expect(await printedBy(nas, true)).toBeUndefined();
  });

  test("is distinguished from the others of its visit by its account and its file", async () => {
    const all = ["alice/a.key", "alice/b.key", "bob/a.key"].map((path) => {
      const [account, file] = path.split("/") as [string, string];
      return { account, file, comment: path };
    });
    const { result } = await record(() => {
      const parts = all.map((each) => keyPair(each));
      const { stdout } = remoteScript("x", { host: nas, what: "keys", parts }, {});
      return Promise.all(all.map((each) => promiseOf(publicKeyFrom(nas, stdout, each))));
    });
    expect(result).toEqual(all.map(({ file, comment }) => publicKeyOf(file, comment)));
  });
});
