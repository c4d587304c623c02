import { expect, test } from "vitest";
import { knownHost } from "../../components/parts/knownHost/knownHost.ts";
import { partOf } from "../support/partOf.ts";

test("pinned host keys are a part with one line per key", async () => {
  const part = await partOf(() =>
    knownHost({
      account: "tunnel-nas",
      file: "nas.known_hosts",
      alias: "gate",
      hostKeys: ["ssh-ed25519 AAAA", "ssh-rsa BBBB"],
    }),
  );
  expect(part).toEqual({
    script: "knownHost",
    values: {
      ACCOUNT: "tunnel-nas",
      FILE: "nas.known_hosts",
      KEYS: "gate ssh-ed25519 AAAA\ngate ssh-rsa BBBB",
    },
  });
});
