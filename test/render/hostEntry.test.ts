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

test.each(["", "HostName x\nProxyCommand", "ProxyCommand x #", "Host", "match", "Include"])(
  "a Host entry has no option called %j",
  (name) => {
    expect(() => renderHostEntry(["gate"], { [name]: "x" })).toThrow("must be the name of an option");
  },
);

describe("known_hosts", () => {
  test("binds each key to the name", () => {
    expect(renderKnownHosts("gate", ["ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"])).toBe(
      "gate ssh-ed25519 AAAA\ngate ecdsa-sha2-nistp256 BBBB",
    );
  });

  test.each([
    "ssh-ed25519 AAAA\n* ssh-rsa B",
    "ssh-ed25519 AAAA comment",
    "ssh-ed25519",
    "",
    "@revoked ssh-rsa A",
  ])("has no key %j, which is more or less than one", (key) => {
    expect(() => renderKnownHosts("gate", [key])).toThrow("must be a public key");
  });

  test.each(["gate *", "*", "gate,*", "!gate", "@cert-authority", "|1|a|b", "-x", ""])(
    "has no name %j, which stands for more than itself",
    (name) => {
      expect(() => renderKnownHosts(name, ["ssh-ed25519 AAAA"])).toThrow("must be one plain word");
    },
  );

  test("is empty where there is no key", () => {
    expect(renderKnownHosts("gate", [])).toBe("");
  });
});
