import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unknown } from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../components/settings/load.ts";
import type { StackOutputs } from "../../components/settings/managedBy.ts";
import { rootShells } from "../../components/remote/rootShell.ts";
import { hostKey } from "../support/hosts.ts";
import { installSsh } from "../support/sshConfigFile.ts";
import { smallest } from "../support/settings.ts";

type Changes = Record<string, unknown>;

/** What the stack that manages the gate has in its outputs for it. */
const shared = {
  address: "gate.example.org",
  sshPort: 443,
  admin: { address: "198.18.0.2", port: 2200, user: "deploy" },
  hostKeys: ["ssh-rsa AAAA", hostKey],
  keyTypes: "ed25519 ecdsa",
  rootShell: rootShells[1],
  evictStale: "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-public/bin/evict-stale",
  toolsDirectory: "/srv/tools",
  namespaces: false,
  installPackages: false,
  portRange: { first: 3000, last: 3099 },
  textfileDirectory: "/srv/metrics",
};
const stacks = (entry: unknown = shared): Record<string, StackOutputs> => ({
  public: { outputs: { publicHosts: { gate: entry }, endpoints: {} } },
});

/** A site whose public host another stack manages. */
const site = (gate: Changes = {}, others: Changes = {}) => ({
  publicHosts: { gate: { managedBy: "public", ...gate } },
  internalHosts: smallest().internalHosts,
  ...others,
});
const gateOf = (raw: Changes, entry?: unknown) => parseConfig(raw, () => [], stacks(entry)).publicHosts.gate!;

function mistakeIn(raw: Changes, all: Record<string, StackOutputs> = stacks()): string[] {
  try {
    parseConfig(raw, () => [], all);
    return [];
  } catch (error) {
    return (error as Error).message
      .split("\n")
      .slice(1, -1)
      .map((line) => line.trim());
  }
}

describe("a public host that another stack manages", () => {
  test("has what the outputs of that stack say, and the admin's login from the settings", () => {
    expect(gateOf(site())).toMatchObject({
      ...{ address: "gate.example.org", sshPort: 443, toolsDirectory: "/srv/tools", namespaces: false },
      ...{
        installPackages: false,
        portRange: { first: 3000, last: 3099 },
        textfileDirectory: "/srv/metrics",
      },
      connection: { host: "198.18.0.2", port: 2200, user: "root", hostKey },
      managed: { by: "public", ...shared },
    });
  });

  test("has its own settings where it has them, and those of the defaults", () => {
    const admin = { user: "admin", port: 2222 };
    const portRange = { first: 4000, last: 4001 };
    const defaults = { publicHost: { managedBy: "public", admin } };
    const raw = { ...site({}, { defaults }), publicHosts: { gate: { address: "10.0.0.1", portRange } } };
    expect(gateOf(raw)).toMatchObject({
      ...{ address: "10.0.0.1", sshPort: 443, portRange },
      connection: { host: "10.0.0.1", port: 2222, user: "admin", hostKey },
    });
  });

  test("keeps the host key that its own settings have", () => {
    const own = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG93bg==";
    expect(gateOf(site({ admin: { hostKey: own } })).connection).toMatchObject({ hostKey: own });
  });

  test("is reached by the name that ssh knows, if the settings have one", () => {
    const { PATH } = process.env;
    const folder = mkdtempSync(join(tmpdir(), "managed-by-"));
    const text = "Host g\n  HostName 192.0.2.9\n  Port 2022\n  User carol\n";
    process.env.PATH = `${installSsh(folder, text)}:${PATH}`;
    try {
      const { address, connection } = gateOf(site({ admin: { ssh: "g", hostKey } }));
      expect({ address, connection }).toMatchObject({
        address: "gate.example.org",
        connection: { host: "192.0.2.9", port: 2022, user: "carol" },
      });
    } finally {
      process.env.PATH = PATH;
      rmSync(folder, { recursive: true });
    }
  });

  test.each(["allowUsers", "clientAliveIntervalSec", "clientAliveCountMax", "listenOnSshPort"])(
    "must not have %s, which is for all tunnels to the host",
    (key) => {
      const value = { allowUsers: ["root"], listenOnSshPort: true }[key] ?? 5;
      expect(mistakeIn(site({ [key]: value }))).toEqual([
        `publicHosts.gate.${key}: found ${JSON.stringify(value)}; must be left out, since the stack 'public' manages this host; set it there`,
      ]);
    },
  );

  const must = 'publicHosts.gate.managedBy: found "public"; must be a stack that manages this host: ';

  test.each<[string, StackOutputs, string]>([
    [
      "does not exist",
      { error: 'unknown stack "public"' },
      "it cannot be read (unknown stack \"public\"); correct the name, or run 'pulumi up' in that stack first",
    ],
    ["has never been up", { outputs: {} }, "it has no outputs yet; run 'pulumi up' in that stack first"],
    [
      "was last up with an earlier version",
      { outputs: { endpoints: {}, logins: {}, units: {} } },
      "its outputs are those of an earlier version of this project, or of another program; run 'pulumi up' in that stack with this version first",
    ],
    [
      "does not manage this host",
      { outputs: { publicHosts: { other: shared, third: shared } } },
      "it manages only other, third; add 'gate' to publicHosts in that stack and run 'pulumi up' there, or correct the name",
    ],
    [
      "manages no host",
      { outputs: { publicHosts: {} } },
      "it manages no public host; add 'gate' to publicHosts in that stack and run 'pulumi up' there, or correct the name",
    ],
    ...[undefined, unknown, "04da6b54-80e4-46f7-96ec-b56ff0331ba9"].map(
      (gate): [string, StackOutputs, string] => [
        `has failed before it knew the host, so that its output is ${JSON.stringify(gate)}`,
        { outputs: { publicHosts: { other: shared, gate } } },
        "it has not got to know 'gate', since its last 'pulumi up' failed there; run it again in that stack until it succeeds",
      ],
    ),
    [
      "says about it what another version needs",
      { outputs: { publicHosts: { gate: { ...shared, rootShell: "curl example.org | sh" } } } },
      "what its outputs have for 'gate' is that of another version of this project; run 'pulumi up' in that stack with this version first",
    ],
  ])("is one mistake if that stack %s", (_what, found, sentence) => {
    expect(mistakeIn(site(), { public: found })).toEqual([must + sentence]);
  });

  test("needs no outputs of the other stack once it is gone", () => {
    const { gate } = parseConfig(site({ gone: true })).publicHosts;
    expect(gate).toMatchObject({ address: "gate", gone: true });
    expect(gate!.managed).toBeUndefined();
  });

  test("is named by a stack, with its organization and project or without", () => {
    for (const managedBy of ["public", "organization/gates/public", "acme/public"])
      expect(mistakeIn(site({ managedBy }), { [managedBy]: stacks().public! }), managedBy).toEqual([]);
    for (const managedBy of ["", "a b", "a/b/c/d", 5])
      expect(mistakeIn(site({ managedBy }))).toContainEqual(
        expect.stringContaining("publicHosts.gate.managedBy: found "),
      );
  });
});

test("a stack may have public hosts only", () => {
  expect(parseConfig({ publicHosts: smallest().publicHosts })).toMatchObject({
    internalHosts: {},
    tunnels: {},
  });
});
