import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ReverseTunnel } from "../../components/index.ts";
import { bothEnds } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { badConfiguration, keywordOf, keywords } from "../support/sshConfigKeywords.ts";

// How a host's own ssh configuration can affect our logins: not at all, as far as our entries can prevent it.

const hasSsh = spawnSync("ssh", ["-V"]).status === 0;

/** The two kinds of entry, as they end up on the hosts. */
const entries = { tunnels: "", "logins back": "" };
const alias = { tunnels: "ssh-tunnel-nas", "logins back": "nas" };
const kinds = ["tunnels", "logins back"] as const;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ssh-config-"));
  const recording = await record(
    () =>
      new ReverseTunnel("nas", {
        ...bothEnds(),
        forwards: { ssh: { remotePort: 2222, target: 22 } },
        logins: [{ from: "alice", to: "bob" }],
      }),
  );
  entries.tunnels = recording.command("nas-start").part("tunnelService").ENTRY!;
  entries["logins back"] = recording.command("nas-on.gate-settle").part("clientConfig").ENTRY!;
});
afterAll(() => rmSync(folder, { recursive: true }));

/** ssh's effective configuration: its values by keyword. */
const effective = (kind: (typeof kinds)[number], after: string) => {
  const file = join(folder, "config");
  // What this ssh does not know yet, or any more, does not matter here.
  writeFileSync(file, `IgnoreUnknown *\n${entries[kind]}\n${after}`);
  // It prints a warning if its standard input is not a terminal and RequestTTY is "force".
  const said = execFileSync("ssh", ["-G", "-F", file, alias[kind]], { encoding: "utf8", stdio: "pipe" });
  const values = new Map<string, string[]>();
  for (const line of said.trim().split("\n")) {
    const [, name, value] = /^(\S+) ?(.*)$/.exec(line)!;
    values.set(name!.toLowerCase(), [...(values.get(name!.toLowerCase()) ?? []), value!]);
  }
  return values;
};

const linesOf = (entry: string) =>
  entry
    .split("\n")
    .filter((line) => line.startsWith("    "))
    .map((line) => line.trim().split(" ")[0]!);

const isFixed = (what: string, kind: string) => what === "fixed" || what === `fixed for ${kind}`;

describe.each(kinds)("the Host entries of %s", (kind) => {
  test("set exactly the keywords that the table lists for them", () => {
    const first = ["IdentityFile", "ServerAliveInterval", "ServerAliveCountMax"];
    const fixed = Object.entries(keywords).filter(([, { what }]) => isFixed(what, kind));
    // ProxyJump belongs to ProxyCommand: ssh takes the first of both.
    const names = fixed.map(([name]) => name).filter((name) => name !== "ProxyJump");
    expect([...new Set(linesOf(entries[kind]))].sort()).toEqual([...new Set([...names, ...first])].sort());
  });

  test("set no keyword twice", () => {
    expect(linesOf(entries[kind]).length).toBe(new Set(linesOf(entries[kind])).size);
  });

  test.skipIf(!hasSsh)("keep their values, whatever the host's configuration sets for all hosts", () => {
    const ours = effective(kind, "");
    const theirs = (name: string) => /^Proxy/.test(name);
    const withBad = effective(
      kind,
      badConfiguration((name, { what }) => (isFixed(what, kind) || !/^fixed/.test(what)) && !theirs(name)),
    );
    const proxied = effective(kind, badConfiguration(theirs));
    for (const [name, { what, bad }] of Object.entries(keywords)) {
      const lower = name.toLowerCase();
      if (isFixed(what, kind)) {
        expect([name, withBad.get(lower)]).toEqual([name, ours.get(lower)]);
        expect([name, proxied.get(lower)]).toEqual([name, ours.get(lower)]);
      } else if (what === "left" && bad !== undefined && ours.has(lower)) {
        expect([name, withBad.get(lower)?.[0]]).not.toEqual([name, ours.get(lower)?.[0]]);
      }
    }
    expect(withBad.get("identityfile")![0]).toBe("~/.ssh/ssh-reverse-tunnel/nas.key");
  });
});

test.skipIf(!hasSsh)("a tunnel still uses the proxy of its host, and a login back uses none", () => {
  const command = badConfiguration((name) => name === "ProxyCommand");
  const jump = badConfiguration((name) => name === "ProxyJump");
  expect(effective("tunnels", command).get("proxycommand")).toEqual(["exec false"]);
  expect(effective("tunnels", jump).get("proxyjump")).toEqual(["elsewhere.example.org"]);
  for (const proxy of [command, jump]) {
    const values = effective("logins back", proxy);
    expect([values.get("proxycommand"), values.get("proxyjump")]).toEqual([undefined, undefined]);
  }
});

test.skipIf(!hasSsh)("the table has every keyword of this machine's ssh", () => {
  const known = execFileSync("ssh", ["-G", "-F", "/dev/null", "x"], { encoding: "utf8", stdio: "pipe" });
  const names = known
    .trim()
    .split("\n")
    .map((line) => line.split(" ")[0]!);
  expect(names.length).toBeGreaterThan(50);
  expect(names.filter((name) => keywordOf(name) === undefined)).toEqual([]);
});

test("each keyword has a reason", () => {
  for (const [name, { why }] of Object.entries(keywords))
    expect([name, why.length > 5]).toEqual([name, true]);
});
