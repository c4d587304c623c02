import { expect, test } from "vitest";
import { clientConfig } from "../../components/parts/clientConfig/clientConfig.ts";
import { partOf } from "../support/partOf.ts";

test("a client configuration is a part with the Host entry and its file", async () => {
  const part = await partOf(() =>
    clientConfig({
      account: "tunnel-nas",
      file: "nas.conf",
      patterns: ["gate", "ssh-tunnel-nas"],
      options: { HostName: "gate.example.org", Port: 22 },
    }),
  );
  expect(part).toEqual({
    script: "clientConfig",
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
