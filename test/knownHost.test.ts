import { expect, test } from "vitest";
import { KnownHost } from "../components/index.ts";
import { expectOneScript } from "./support/expectScript.ts";
import { nas } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

test("pinned host keys are one script with a line for each key", async () => {
  expect.hasAssertions();
  const recording = await record(
    () =>
      new KnownHost("nas-known-host", {
        host: nas,
        account: "tunnel-nas",
        file: "nas.known_hosts",
        alias: "gate",
        hostKeys: ["ssh-ed25519 AAAA", "ssh-rsa BBBB"],
      }),
  );
  expectOneScript(recording, {
    component: ["KnownHost", "nas-known-host"],
    script: "knownHost",
    host: "nas (198.18.0.3)",
    what: "the pinned host keys of gate",
    values: {
      ACCOUNT: "tunnel-nas",
      FILE: "nas.known_hosts",
      KEYS: "gate ssh-ed25519 AAAA\ngate ssh-rsa BBBB",
    },
  });
});
