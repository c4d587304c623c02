import { expect, test } from "vitest";
import { ClientConfig } from "../components/index.ts";
import { expectOneScript } from "./support/expectScript.ts";
import { nas } from "./support/hosts.ts";
import { record } from "../tools/mocks.ts";

test("a client configuration is one script with the Host entry and its file", async () => {
  expect.hasAssertions();
  const recording = await record(
    () =>
      new ClientConfig("nas-config", {
        host: nas,
        account: "tunnel-nas",
        file: "nas.conf",
        patterns: ["gate", "ssh-tunnel-nas"],
        options: { HostName: "gate.example.org", Port: 22 },
      }),
  );
  expectOneScript(recording, {
    component: ["ClientConfig", "nas-config"],
    script: "clientConfig",
    host: "nas (198.18.0.3)",
    what: "the ssh client configuration nas.conf of tunnel-nas",
    values: {
      ACCOUNT: "tunnel-nas",
      FILE: "nas.conf",
      ENTRY: [
        "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
        "Host gate ssh-tunnel-nas",
        "    HostName gate.example.org",
        "    Port 22",
      ].join("\n"),
    },
  });
});
