import { describe, expect, test } from "vitest";
import { oldKeys, openToEveryone, outOfRange, rootLogins, tunnelsIn } from "../../policies/rules.ts";

/** The tunnels of one internal host with these settings, and with these defaults for all. */
const tunnels = (nas: object, rest: object = {}) =>
  tunnelsIn({
    publicHosts: { gate: { address: "gate.example.org" } },
    internalHosts: { nas: { address: "192.0.2.130", ...nas } },
    ...rest,
  });
const forward = (settings: object) => ({ forwards: { web: { remotePort: 8080, target: 80, ...settings } } });

describe("a forward that listens everywhere", () => {
  const sentence =
    "nas, forward web: it listens on every address of the public host, for everyone; set sources to the networks that may reach it";

  test.each(["all", "0.0.0.0", "::"])("is refused without sources: %s", (listen) => {
    expect(openToEveryone(tunnels(forward({ listen })))).toEqual([sentence]);
  });

  test("is refused if the defaults are what makes it so", () => {
    const defaults = { internalHost: forward({ listen: "all" }) };
    expect(openToEveryone(tunnels({}, { defaults }))).toEqual([sentence]);
  });

  test("is fine with sources", () => {
    expect(openToEveryone(tunnels(forward({ listen: "all", sources: ["192.0.2.0/24"] })))).toEqual([]);
  });

  test("is nothing that the others are", () => {
    expect(openToEveryone(tunnels(forward({})))).toEqual([]);
    expect(openToEveryone(tunnels(forward({ listen: "203.0.113.30" })))).toEqual([]);
  });
});

test.each([
  [8079, []],
  [8080, []],
  [9000, []],
  [9001, ["nas, forward web: the port 9001 is not from 8079 to 9000; choose one that is"]],
  [8078, ["nas, forward web: the port 8078 is not from 8079 to 9000; choose one that is"]],
  ["auto", []],
])("the remote port %s is in the range, or refused", (remotePort, expected) => {
  expect(outOfRange(tunnels(forward({ remotePort })), 8079, 9000)).toEqual(expected);
});

test("a login back that starts from root, or leads to it, is refused, on every tunnel of the host", () => {
  const logins = [
    { from: "alice", to: "alice" },
    { from: "root", to: "alice", alias: "a" },
    { from: "alice", to: "root", alias: "b" },
  ];
  const found = rootLogins(
    tunnels(
      { forwards: { ssh: { remotePort: 2222, target: 22 } }, logins, publicHosts: ["gate", "other"] },
      {
        publicHosts: { gate: { address: "gate.example.org" }, other: { address: "other.example.org" } },
      },
    ),
  );
  expect(found).toEqual(
    ["nas-gate", "nas-other"].flatMap((name) => [
      `${name}, login from root to alice: use an account with sudo instead of root`,
      `${name}, login from alice to root: use an account with sudo instead of root`,
    ]),
  );
});

describe("the age of keys", () => {
  const now = new Date("2026-11-30T12:00:00Z");
  const of = (nas: object, rest: object = {}) => oldKeys(tunnels({ ...forward({}), ...nas }, rest), 365, now);

  test.each(["2026-11-30", "2025-11-30", "2026-02", "2026", "2026-11-30 after the audit"])(
    "is fine for %s",
    (keys) => {
      expect(of({ keys })).toEqual([]);
    },
  );

  test("is too old after a year, by the word of the tunnel, of the login or of the stack", () => {
    expect(of({ keys: "2025-11-29" })).toEqual([
      "the key of the tunnel nas is of 2025-11-29, 366 days ago; set keys to today's date to replace it",
    ]);
    expect(of({}, { keys: "2025" })).toEqual([
      "the key of the tunnel nas is of 2025, 698 days ago; set keys to today's date to replace it",
    ]);
    const logins = [{ from: "alice", to: "bob", keys: "2024-02-29" }];
    expect(of({ keys: "2026-11-01", forwards: { ssh: { remotePort: 2222, target: 22 } }, logins })).toEqual([
      "the key of the login from alice to bob (nas) is of 2024-02-29, 1005 days ago; set keys to today's date to replace it",
    ]);
  });

  test.each([undefined, "blue", "20261130", "2026-13-01"])("is not known for the word %s", (keys) => {
    expect(of(keys === undefined ? {} : { keys })).toEqual([
      "keys has no date for the tunnel nas, so the age of the key is not known here; set keys to the date when you replace it",
    ]);
  });
});

test("settings that the program refuses break no rule: the program says what is wrong with them", () => {
  expect(tunnels(forward({ listen: "everywhere" }))).toEqual([]);
  expect(tunnelsIn({})).toEqual([]);
  expect(tunnelsIn({ publicHosts: 5, internalHosts: "none" })).toEqual([]);
});
