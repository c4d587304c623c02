import { describe, expect, test } from "vitest";
import { renderHostEntry, renderKnownHosts } from "../../components/render/hostEntry.ts";

test("a Host entry is its patterns and its options, in order", () => {
  const options = { HostName: "gate.example.org", Port: 2200, IdentitiesOnly: "yes" };
  expect(renderHostEntry(["gate", "ssh-tunnel-nas"], options)).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.
Host gate ssh-tunnel-nas
    HostName gate.example.org
    Port 2200
    IdentitiesOnly yes`,
  );
});

test.each(["", "a b", "gate\nProxyCommand", "#gate"])(
  "a Host entry cannot have the pattern %j",
  (pattern) => {
    expect(() => renderHostEntry(["gate", pattern], {})).toThrow("must be one word");
  },
);

test("a Host entry cannot have an option of two lines", () => {
  expect(() => renderHostEntry(["gate"], { HostName: "gate\nProxyCommand x" })).toThrow("must be one line");
});

test.each(["", "HostName x\nProxyCommand", "ProxyCommand x #", "Host", "match", "Include"])(
  "a Host entry cannot have an option called %j",
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
  ])("cannot have the key %j, which is not exactly one key", (key) => {
    expect(() => renderKnownHosts("gate", [key])).toThrow("must be a public key");
  });

  test.each(["gate *", "*", "gate,*", "!gate", "@cert-authority", "|1|a|b", "-x", ""])(
    "cannot have the name %j, which matches more than itself",
    (name) => {
      expect(() => renderKnownHosts(name, ["ssh-ed25519 AAAA"])).toThrow("must be one plain word");
    },
  );

  test("is empty if there is no key", () => {
    expect(renderKnownHosts("gate", [])).toBe("");
  });
});
