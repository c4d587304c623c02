import { describe, expect, test } from "vitest";
import { warningsOf } from "../../components/remote/drift.ts";
import { lookFrom } from "../../components/remote/look.ts";

const label = "gate (198.18.0.2)";
const ended = (stdout: string, stderr = "", code: number | null = 0) =>
  lookFrom(label, { code, stdout, stderr });
const time = "2026-01-31 07:10:20.123456789 +0000";
const drift = (words: string, record = "nas-on.gate-admit", at = time) =>
  `drift ${record}\t${at}\t${words}\n`;

describe("the answer of a host to the look for drift", () => {
  test("has its records, what differs on each, and keys that are as they were", () => {
    const look = ended(
      `Welcome!\nrecord gate-server\nrecord nas-on.gate-admit\n${drift("/etc/x is missing")}${drift("/etc/y: other content")}key root/nas.key ssh-ed25519 AAAA root@gate\ndone\n`,
    );
    expect(look).toMatchObject({
      label,
      records: ["gate-server", "nas-on.gate-admit"],
      drift: { "nas-on.gate-admit": { findings: ["/etc/x is missing", "/etc/y: other content"] } },
      keys: { "root/nas.key": "ssh-ed25519 AAAA root@gate" },
      lacksTools: false,
    });
    expect(look.error).toBeUndefined();
    expect(warningsOf(look)).toEqual([
      `${label}: /etc/x is missing (nas-on.gate-admit)`,
      `${label}: /etc/y: other content (nas-on.gate-admit)`,
    ]);
  });

  test("gives a record the same value for the same drift, and another one for a different one or after a repair", () => {
    const value = (...lines: string[]) => ended(`${lines.join("")}done\n`).drift["nas-on.gate-admit"]!.value;
    const first = value(drift("/etc/x is missing"));
    expect(value(drift("/etc/x is missing"))).toBe(first);
    expect(value(drift("/etc/y is missing"))).not.toBe(first);
    expect(value(drift("/etc/x is missing", "nas-on.gate-admit", "later"))).not.toBe(first);
  });

  test.each<[string, ReturnType<typeof lookFrom>, string]>([
    ["that another run is changing", ended("busy\n"), "is being changed by another run"],
    [
      "whose tools are of before",
      ended("unable\n"),
      "has tools that cannot look for drift yet; 'pulumi up' installs them",
    ],
    ["without an answer", ended("", "", null), "did not answer in 60 s"],
    ["that ssh cannot reach", ended("", "ssh: no route\n", 255), "cannot be reached: ssh: no route"],
    [
      "whose script fails",
      ended("record x\n", "error: the admin cannot become root without a password\n", 3),
      "could not be looked at: the admin cannot become root without a password",
    ],
    ["that stops in the middle", ended("record x\n"), "could not be looked at: record x\\u000a"],
  ])("is none from a host %s, which is one warning", (_what, look, error) => {
    expect(look).toMatchObject({ records: [], drift: {}, keys: {} });
    expect(warningsOf(look)).toEqual([
      `${label} ${error}; its drift is unknown, and what is planned for it stays as it is`,
    ]);
  });

  test("counts as far as it came when time ran out, if it has named all records", () => {
    const names = "record gate-server\nrecord nas-on.gate-admit\n";
    expect(ended(names, "", null).error).toBe("did not answer in 60 s");
    const look = ended(
      `${names}looking\n${drift("/etc/x is missing")}drift gate-server\t2026`,
      "error: gate: no look at y\n",
      null,
    );
    expect(look.error).toBeUndefined();
    expect(look.records).toEqual(["gate-server", "nas-on.gate-admit"]);
    expect(Object.keys(look.drift)).toEqual(["nas-on.gate-admit"]);
    expect(warningsOf(look)).toEqual([
      `${label}: /etc/x is missing (nas-on.gate-admit)`,
      "not looked at: gate: no look at y",
      `not looked at: ${label}: what it had not answered after 60 s, and what is planned for that stays as it is`,
    ]);
  });

  test("may be that the tools are missing, which is a warning", () => {
    const look = ended("record gate-server\nno tools\ndone\n");
    expect(look).toMatchObject({ lacksTools: true, records: ["gate-server"] });
    expect(warningsOf(look)).toEqual([
      `${label}: the tools of this project are missing or changed, so nothing else can be looked at and everything runs again there`,
    ]);
  });

  test("is shown as plain text, whatever the host says", () => {
    const look = ended(`${drift("::error::\x1b[31m\u202e")}done\n`, "error: \x1b[2J\n");
    expect(warningsOf(look)).toEqual([
      `${label}: '::error::\\u001b[31m\\u202e (nas-on.gate-admit)`,
      "not looked at: \\u001b[2J",
    ]);
  });

  test("may have names of records that no program chooses, which are errors, and none of its records", () => {
    const names = [
      "__proto__",
      "constructor",
      "4dabf18193072939515e22adb298388d", // how Pulumi marks secrets in its state
      "%1b%5b2J",
      "x-%0a",
      'nas-"]',
    ];
    const look = ended(
      `${names.map((name) => `record ${name}\n${drift("/etc/x is missing", name)}`).join("")}record gate-server\ndone\n`,
    );
    expect(look).toMatchObject({ records: ["gate-server"], drift: {} });
    expect(warningsOf(look)).toEqual(
      names.map(
        (name) =>
          `not looked at: ${label}: a line of its answer cannot be read: drift ${name}\\u0009${time}\\u0009/etc/x is missing`,
      ),
    );
  });

  test("may have any character in what differs, which is shown as plain text", () => {
    const look = ended(`${drift("/etc/x: link a\tb\rc\u2028d")}done\n`);
    expect(warningsOf(look)).toEqual([
      `${label}: /etc/x: link a\\u0009b\\u000dc\\u2028d (nas-on.gate-admit)`,
    ]);
  });
});
