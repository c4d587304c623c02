import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { z } from "zod";
import { parseConfig } from "../../components/settings/load.ts";
import { settingsSchema } from "../../components/settings/schema.ts";
import program from "../../index.ts";
import { hostile, leavesOf, shapeOf, withLeaf } from "../support/hostile.ts";
import { hostKey } from "../support/hosts.ts";
import { record, type RecordedCommand } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { functionsOf, headerOf } from "../../tools/parseCommand.ts";
import { setConfig } from "../support/settings.ts";
import { startAgent } from "../support/sshAgent.ts";
import { newSshKey } from "../support/sshKey.ts";
import { runScript, shells } from "../support/shells.ts";

// Each text in the settings is refused with its path, or passed on unchanged; and none adds a line, a word or an option
// to a file on a host.

// Set SEED and RUNS in the environment for a longer search by hand.
const seed = Number(process.env.SEED ?? 20260101);
const runs = Number(process.env.RUNS ?? 30);

const { privateKey } = newSshKey("ed25519", { passphrase: "secret of the key" });
const agent = await startAgent();
afterAll(() => agent.stop());

const login = (address: string) => ({
  address,
  port: 22,
  user: "root",
  privateKey,
  privateKeyFile: "/nonexistent",
  passphrase: "secret of the key",
  password: "secret",
  agentSocketPath: agent.path,
  hostKey,
  knownHostsFile: "/nonexistent",
});
const admin = (address: string) => ({
  ...login(address),
  bastion: login("198.18.0.9"),
  acceptAnyHostKey: false,
});

/** Every setting. */
const everything = {
  publicHosts: {
    gate: {
      address: "198.18.0.2",
      sshPort: 22,
      listenOnSshPort: false,
      admin: admin("198.18.0.12"),
      skip: false,
      allowUsers: ["root", "alice"],
      clientAliveIntervalSec: 15,
      clientAliveCountMax: 3,
      permitListen: ["*:2222"],
      permitOpen: ["127.0.0.1:2222"],
      portRange: { first: 20000, last: 29999 },
      installPackages: true,
      textfileDirectory: "/srv/metrics",
      notify: { command: "true", delaySec: 120, secret: "hush", account: "alice" },
      toolsDirectory: "/srv/tools",
      namespaces: true,
    },
  },
  internalHosts: {
    nas: {
      address: "198.18.0.3",
      admin: admin("198.18.0.13"),
      skip: false,
      enabled: true,
      publicHost: "gate",
      account: "backup",
      forwards: {
        ssh: {
          enabled: true,
          remotePort: 2222,
          target: "127.0.0.1:22",
          listen: "all",
          sources: ["203.0.113.0/24"],
          protocol: "ssh",
          probe: "banner",
        },
      },
      logins: [{ from: "root", to: "root", alias: "my-nas", via: "ssh", keys: "root-2" }],
      keys: "after-the-break-in",
      keepAlive: {
        preset: "fast",
        connectTimeoutSec: 5,
        serverAliveIntervalSec: 3,
        serverAliveCountMax: 2,
        restartSec: 1,
        restartMaxDelaySec: 30,
      },
      proxy: { url: "socks5://proxy.example.org:1080", user: "site", password: "secret" },
      proxyJump: { address: "dmz.example.org", port: 22, user: "relay", hostKey },
      watchdogIntervalSec: 15,
      healthIntervalSec: 30,
      textfileDirectory: "/srv/metrics",
      toolsDirectory: "/srv/tools",
      namespaces: true,
      timeoutSec: 30,
    },
  },
  keys: "2026-Q4",
  revision: "1",
};

type Path = (string | number)[];

/** The settings that the schema knows, "publicHosts.<name>.admin.port", each with its own schema. */
function schemaLeaves(schema: z.ZodType, path: string): [string, z.ZodType][] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return schemaLeaves(schema.unwrap() as z.ZodType, path);
  }
  if (schema instanceof z.ZodObject) {
    const entries = Object.entries<z.ZodType>(schema.shape);
    return entries.flatMap(([key, each]) => schemaLeaves(each, path === "" ? key : `${path}.${key}`));
  }
  if (schema instanceof z.ZodRecord) return schemaLeaves(schema.valueType as z.ZodType, `${path}.<name>`);
  if (schema instanceof z.ZodArray) return schemaLeaves(schema.element as z.ZodType, `${path}.[]`);
  return [[path, schema]];
}

/** Defaults are the same settings; a name for ssh is tested in sshConfig.test.ts. */
const elsewhere = /^defaults\.|\.admin\.ssh$/;
const known = new Map(schemaLeaves(settingsSchema, "").filter(([path]) => !elsewhere.test(path)));
const names = ["gate", "nas", "ssh"];
const genericOf = (path: Path) =>
  path
    .map((key, index) =>
      typeof key === "number" ? "[]" : names.includes(key) && index % 2 === 1 ? "<name>" : key,
    )
    .join(".");
const leaves = leavesOf(everything);
function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((each, key) => (each as Record<string | number, unknown>)?.[key], value);
}

/** The mistakes that are found, as lines; none if there is a config. */
function parsed(raw: Record<string, unknown>): { config?: ReturnType<typeof parseConfig>; lines: string[] } {
  try {
    return { config: parseConfig(raw), lines: [] };
  } catch (error) {
    return { lines: (error as Error).message.split("\n") };
  }
}

/** Where a setting is in the config that components get. */
const placeOf = ([kind, host, key, ...rest]: Path): Path => {
  const ofHost =
    kind !== "internalHosts" || ["address", "admin", "toolsDirectory", "namespaces"].includes(String(key));
  const path = [ofHost ? kind! : "tunnels", host, key, ...rest].filter((each) => each !== undefined);
  const place = path.map(
    (key) => ({ admin: "connection", bastion: "proxy", passphrase: "privateKeyPassword" })[key] ?? key,
  );
  return place.includes("connection") && place.at(-1) === "address" ? [...place.slice(0, -1), "host"] : place;
};

/** The value there: secrets unwrapped, and a private key with the one newline that it must have at its end. */
async function carried(config: unknown, path: Path): Promise<unknown> {
  const value = valueAt(config, placeOf(path));
  return pulumi.Output.isInstance(value) ? await promiseOf(value) : value;
}

const same = (path: Path, value: string) => (path.at(-1) === "privateKey" ? `${value.trimEnd()}\n` : value);

/** Ignored if there is a privateKey or a hostKey; they have their own tests. */
const unused = ["privateKeyFile", "knownHostsFile"];

/** They exclude other settings, and have their own tests. What a tunnel has of its own has the same schemas. */
const alone = [
  "internalHosts.<name>.admin.throughTunnel",
  "internalHosts.<name>.publicHosts.[]",
  "publicHosts.<name>.managedBy", // managedBy.test.ts has it, with the outputs of another stack
];
const ofTunnels = "internalHosts.<name>.tunnels.<name>.";

test("every setting is tested with hostile text", () => {
  const booleans = [...known].filter(([, schema]) => schema.safeParse(true).success).map(([path]) => path);
  const inHand = new Set(leaves.map(({ path }) => genericOf(path)));
  const ofHosts = (paths: Iterable<string>) =>
    [...paths].filter((path) => !path.startsWith(ofTunnels)).sort();
  expect(ofHosts([...inHand, ...booleans, ...alone])).toEqual(ofHosts(known.keys()));
});

describe("hostile text is refused with its path, or passed on unchanged, in", () => {
  // The word of the stack has the same schema as that of a tunnel, which counts here.
  const looked = leaves.filter(({ path }) => !unused.includes(String(path.at(-1))) && path[0] !== "keys");

  test.each(looked.map((leaf) => [leaf.path.join("."), leaf] as const))(
    "%s",
    async (name, { path, text }) => {
      for (const value of fc.sample(hostile(text), { seed, numRuns: runs })) {
        const { config, lines } = parsed(withLeaf(everything, path, value));
        const where = JSON.stringify(value.slice(0, 80));
        if (config) {
          // An empty secret does not count.
          const expected = value === "" && name.includes(".admin.") ? undefined : same(path, value);
          expect(await carried(config, path), where).toBe(expected);
          continue;
        }
        // A rule between settings may be broken instead.
        const blamed = [name];
        if (/(user|allowUsers\.\d)$/.test(name)) blamed.push("publicHosts.gate.allowUsers");
        if (/\.(listen|remotePort|permit\w+\.\d)$/.test(name)) blamed.push("internalHosts.nas.forwards.ssh");
        if (name.endsWith(".listen")) blamed.push(name.replace(/listen$/, "sources"));
        // Its format, and whether it is encrypted.
        if (/\.(privateKey|passphrase)$/.test(name)) blamed.push(name.replace(/\.admin\..*/, ".admin"));
        expect(
          lines.slice(1, -1).filter((line) => blamed.some((each) => line.startsWith(`  ${each}: `))),
          `${where}: ${lines.join("\n")}`,
        ).not.toEqual([]);
        expect(lines, "a line for each mistake").toHaveLength(2 + Number(/\d+/.exec(lines[0]!)?.[0] ?? 1));
      }
    },
  );

  const nas = everything.internalHosts.nas;
  const renamed: [string, (name: string) => Record<string, unknown>][] = [
    [
      "publicHosts",
      (name) => ({
        publicHosts: named(name, everything.publicHosts.gate),
        internalHosts: { nas: { ...nas, publicHost: undefined } }, // the only one
      }),
    ],
    ["internalHosts", (name) => ({ ...everything, internalHosts: named(name, nas) })],
    [
      "internalHosts.nas.forwards",
      (name) => ({
        ...everything,
        internalHosts: { nas: { ...nas, forwards: named(name, nas.forwards.ssh), logins: undefined } },
      }),
    ],
  ];
  test.each(renamed)("the names of %s", (where, rename) => {
    for (const name of fc.sample(hostile("nas"), { seed, numRuns: runs * 3 })) {
      const { config, lines } = parsed(rename(name));
      if (config) {
        expect(Object.keys(valueAt(config, placeOf(where.split("."))) as object)).toEqual([name]);
        expect(name).toMatch(/^[a-z][a-z0-9-]*$/);
      } else {
        expect(lines.join("\n"), name).toContain(`\n  ${where}`);
        expect(lines, "a line for each mistake").toHaveLength(2 + Number(/\d+/.exec(lines[0]!)?.[0] ?? 1));
        // eslint-disable-next-line no-control-regex
        expect(lines.join("\n"), name).not.toMatch(/[\0-\x09\x0b-\x1f\x7f-\x9f]/);
      }
    }
  });
});

test("hostile text is refused with its path as the forward of an admin connection through the tunnel", () => {
  const { nas } = everything.internalHosts;
  const settings = (forward: string) => ({
    publicHosts: { gate: { ...everything.publicHosts.gate, admin: login("198.18.0.12") } },
    internalHosts: { nas: { ...nas, admin: { ...nas.admin, throughTunnel: forward } } },
  });
  expect(parsed(settings("ssh")).config?.internalHosts.nas?.throughTunnel).toBe("gate");
  for (const forward of fc.sample(hostile("ssh"), { seed, numRuns: runs * 3 })) {
    const { lines } = parsed(settings(forward));
    expect(lines, forward).toHaveLength(3);
    expect(lines[1]).toMatch(/^ {2}internalHosts\.nas\.admin\.throughTunnel: found /);
  }
});

test("'constructor', a property of every JavaScript object, is not accepted as a public host or a forward", () => {
  const { nas } = everything.internalHosts;
  const name = "constructor";
  const { lines } = parsed({
    publicHosts: everything.publicHosts,
    internalHosts: {
      one: { ...nas, publicHost: name, admin: { ...nas.admin, throughTunnel: "ssh" } },
      two: { ...nas, publicHost: "gate", admin: { ...nas.admin, throughTunnel: name } },
      three: { ...nas, publicHost: "gate", logins: [{ from: "alice", to: "backup", via: name }] },
    },
  });
  expect(lines).toEqual(
    expect.arrayContaining([
      `  internalHosts.one.publicHost: found "${name}"; must be one of the public hosts: gate`,
      `  internalHosts.two.admin.throughTunnel: found "${name}"; must be a forward to its sshd with a fixed port: ssh`,
      `  internalHosts.three.logins.0.via: found "${name}"; must be a forward to an SSH port: ssh`,
    ]),
  );
});

test("'__proto__' among other names is refused with its path, which zod alone would not do", () => {
  const { publicHosts, internalHosts } = everything;
  const { nas } = internalHosts;
  const beside = (names: object, value: unknown) =>
    JSON.parse(JSON.stringify(names).replace(/}$/, `,"__proto__":${JSON.stringify(value)}}`)) as object;
  const { lines } = parsed({
    publicHosts: beside(publicHosts, publicHosts.gate),
    internalHosts: beside(
      { nas: { ...nas, publicHost: "__proto__", forwards: beside(nas.forwards, nas.forwards.ssh) } },
      5,
    ),
  });
  expect(lines.slice(1, -1)).toEqual(
    ["publicHosts.__proto__", "internalHosts.nas.forwards.__proto__", "internalHosts.__proto__"].map(
      (path) => `  ${path}: there is no such setting; remove it, or correct its name`,
    ),
  );
});

/** A map with this one name, as JSON creates it: an object literal interprets __proto__ differently. */
function named(name: string, value: unknown): Record<string, unknown> {
  return JSON.parse(`{${JSON.stringify(name)}: ${JSON.stringify(value)}}`) as Record<string, unknown>;
}

describe("settings as hostile as they can be", () => {
  beforeEach(() => setConfig({}));
  afterEach(() => setConfig({}));

  const deploy = (settings: Record<string, unknown>) => {
    setConfig(settings);
    return record(() => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program())));
  };

  /** All at once: each text is replaced with a hostile one that is allowed there. An agent has to answer. */
  const worst = (round: number) =>
    leaves
      .filter(({ path }) => path.at(-1) !== "agentSocketPath")
      .reduce((settings, { path, text }) => {
        const candidates = fc.sample(hostile(text), { seed: seed + round, numRuns: 40 });
        const allowed = candidates.find(
          (value) => value !== text && parsed(withLeaf(settings, path, value)).config,
        );
        return allowed === undefined ? settings : withLeaf(settings, path, allowed);
      }, everything);

  const changes = (settings: typeof everything) =>
    leaves.filter(({ path, text }) => String(valueAt(settings, path)) !== text).length;

  test(
    "add no line, word or option anywhere, and arrive unchanged in every shell",
    {
      timeout: 300_000,
    },
    async () => {
      const shape = shapeOf(await deploy(everything));
      for (const settings of [1, 2, 3].map(worst)) {
        const recording = await deploy(settings);
        const { commands } = recording;
        expect(shapeOf(recording)).toEqual(shape);
        expect(changes(settings)).toBeGreaterThan(15);
        expect(new Set(commands.map(({ header }) => header.REVISION))).toEqual(new Set([settings.revision]));
        const text = commands.map(printValues).join("");
        const expected = commands.flatMap((command) => headersIn(command).flatMap(Object.values<string>));
        for (const [name, shell] of shells) {
          expect(runScript(shell, text).stdout.split("\0").slice(0, -1), name).toEqual(expected);
        }
        const { address: host, user, hostKey } = settings.publicHosts.gate.admin;
        expect(commands.map(({ inputs }) => inputs.connection)).toContainEqual(
          expect.objectContaining({ host, user, hostKey }),
        );
      }
    },
  );
});

/**
 * The sent text, with its last part replaced by commands that print the values of its header and its parts, each ended
 * by NUL.
 */
function printValues(command: RecordedCommand): string {
  const stdin = command.inputs.stdin as string;
  const [header, ...parts] = headersIn(command).map((values) => {
    const names = Object.keys(values).map((name) => `"$${name}"`);
    return `printf '%s\\0' ${names.join(" ")}\n`;
  });
  const calls = parts.map((print, index) => `values_${index + 1}\n${print}`);
  const { rest } = functionsOf(headerOf(stdin).rest);
  return [stdin.slice(0, -rest.length), header, ...calls].join("");
}

/** The values of its header, and those of each part. */
function headersIn({ inputs }: RecordedCommand): Record<string, string>[] {
  const { values, rest } = headerOf(inputs.stdin as string);
  return [values, ...functionsOf(rest).functions];
}
