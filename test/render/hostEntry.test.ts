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

test.each(["", "a b", "gate\nProxyCommand", "#gate"])("a Host entry has no pattern %j", (pattern) => {
  expect(() => renderHostEntry(["gate", pattern], {})).toThrow("must be one word");
});

test("a Host entry has no option of two lines", () => {
  expect(() => renderHostEntry(["gate"], { HostName: "gate\nProxyCommand x" })).toThrow("must be one line");
});

describe("known_hosts", () => {
  test("binds each key to the name", () => {
    expect(renderKnownHosts("gate", ["ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"])).toBe(
      "gate ssh-ed25519 AAAA\ngate ecdsa-sha2-nistp256 BBBB",
    );
  });

  test("has no key of two lines, and no name of two words", () => {
    expect(() => renderKnownHosts("gate", ["ssh-ed25519 AAAA\n* ssh-rsa B"])).toThrow("must be one line");
    expect(() => renderKnownHosts("gate *", ["ssh-ed25519 AAAA"])).toThrow("must be one word");
  });

  test("is empty where there is no key", () => {
    expect(renderKnownHosts("gate", [])).toBe("");
  });
});
