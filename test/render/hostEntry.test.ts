import { describe, expect, test } from "vitest";
import { renderHostEntry, renderKnownHosts } from "../../components/render/hostEntry.ts";

test("a Host entry is its patterns and its options, in their order", () => {
  const options = { HostName: "gate.example.org", Port: 2200, IdentitiesOnly: "yes" };
  expect(renderHostEntry(["gate", "ssh-tunnel-nas"], options)).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.
Host gate ssh-tunnel-nas
    HostName gate.example.org
    Port 2200
    IdentitiesOnly yes`,
  );
});

describe("known_hosts", () => {
  test("binds each key to the name", () => {
    expect(renderKnownHosts("gate", ["ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"])).toBe(
      "gate ssh-ed25519 AAAA\ngate ecdsa-sha2-nistp256 BBBB",
    );
  });

  test("is empty where there is no key", () => {
    expect(renderKnownHosts("gate", [])).toBe("");
  });
});
