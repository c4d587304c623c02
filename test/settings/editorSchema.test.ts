import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import Ajv from "ajv";
import { loadConfig } from "../../components/settings/load.ts";
import { record } from "../../tools/mocks.ts";
import { setConfig, smallest } from "../support/settings.ts";
import { editorSchema, editorSchemaFile } from "../../tools/editorSchema.ts";

const root = join(import.meta.dirname, "../..");
const text = readFileSync(editorSchemaFile, "utf8");
const validate = new Ajv().compile(JSON.parse(text) as object);
const mistakes = (file: unknown) => (validate(file) === true ? [] : validate.errors);
const fits = (config: object) => validate({ config }) === true;
// web-app is a separate project with settings of its own.
const examples = readdirSync(join(root, "examples")).filter((name) => name !== "web-app");
const stackFiles = ["", ...examples.map((name) => `examples/${name}/`)].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => /^Pulumi\..+\.yaml$/.test(name))
    .map((name) => folder + name),
);

test("docs/settings.schema.json is the output of 'make settings'", async () => {
  expect(text).toBe(await editorSchema());
});

describe("the schema for editors", () => {
  test.each(stackFiles)("accepts %s, whose first line names it", (file) => {
    const content = readFileSync(join(root, file), "utf8");
    const [first = ""] = content.split("\n");
    // In a repository of settings, the tool is in a folder of its own.
    expect(first).toMatch(
      /^# yaml-language-server: \$schema=(\.ssh-reverse-tunnel\/)?docs\/settings\.schema\.json$/,
    );
    expect(mistakes(parse(content))).toEqual([]);
  });

  test("accepts hosts that have everything from the defaults, secrets, and settings of other programs", () => {
    const admin = { user: "admin", privateKey: { secure: "v1:abc" }, password: "hunter2" };
    expect(
      fits({
        "ssh-reverse-tunnel:defaults": {
          internalHost: { admin, forwards: { ssh: { remotePort: "auto", target: 22 } } },
        },
        "ssh-reverse-tunnel:publicHosts": { gate: { admin: { ssh: "gate" } } },
        "ssh-reverse-tunnel:internalHosts": { nas: { address: "192.168.1.10" } },
        "aws:region": "eu-west-1",
      }),
    ).toBe(true);
  });

  /** The settings of a stack file, and how the Pulumi CLI passes its values to the program: as text. */
  const both = async (settings: string) => {
    const all = { ...smallest(), ...(parse(settings) as Record<string, unknown>) };
    const config = Object.fromEntries(
      Object.entries(all).map(([key, value]) => [`ssh-reverse-tunnel:${key}`, value]),
    );
    setConfig(Object.fromEntries(Object.entries(all).map(([key, value]) => [key, asText(value)])));
    return { schema: mistakes({ config }), program: (await record(loadConfig)).result };
  };
  const asText = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  afterEach(() => setConfig({}));

  test.each([
    ["drift: true", { drift: true }],
    ['drift: "true"', { drift: true }],
    ['drift: "false"', { drift: false }],
    ["revision: 7", { revision: "7" }],
    ["revision: 2026-01-31", { revision: "2026-01-31" }],
  ])("accepts %j, as the program does", async (settings, found) => {
    const { schema, program } = await both(settings);
    expect(program).toMatchObject(found);
    expect(schema).toEqual([]);
  });

  test("accepts a number for the word of the keys, as the program does", async () => {
    const { schema, program } = await both("keys: 2026");
    expect(program.tunnels.nas?.keys).toBe("2026");
    expect(schema).toEqual([]);
  });

  test("accepts all pauses that the program accepts, however a tenth looks in binary", async () => {
    for (const tenths of [1, 3, 7, 41, 199]) {
      const [nas] = Object.values(smallest().internalHosts);
      const settings = { internalHosts: { nas: { ...nas, keepAlive: { restartSec: tenths / 10 } } } };
      const { schema, program } = await both(JSON.stringify(settings));
      expect(program.tunnels.nas?.keepAlive.restartSec).toBe(tenths / 10);
      expect(schema).toEqual([]);
    }
  });

  test("accepts null for any setting of a host and of the defaults, but not for a host or in a list", () => {
    const nas = {
      ...{ logins: null, proxy: null, keepAlive: { restartSec: null }, enabled: null },
      ...{ forwards: { web: null }, admin: { password: null, throughTunnel: null } },
    };
    const of = (key: string, value: unknown) => ({ [`ssh-reverse-tunnel:${key}`]: value });
    expect(mistakes({ config: of("internalHosts", { nas }) })).toEqual([]);
    expect(mistakes({ config: of("defaults", { internalHost: nas, publicHost: null }) })).toEqual([]);
    expect(fits(of("internalHosts", { nas: null }))).toBe(false);
    expect(fits(of("internalHosts", { nas: { logins: [{ from: "a", to: "b", via: null }] } }))).toBe(false);
    expect(fits(of("internalHosts", { nas: { admin: { password: { secure: null } } } }))).toBe(false);
  });

  test.each<[string, object]>([
    ["another word for drift", { "ssh-reverse-tunnel:drift": "yes" }],
    ["an unknown setting", { "ssh-reverse-tunnel:publicHost": {} }],
    ["an unknown setting of a host", { "ssh-reverse-tunnel:publicHosts": { gate: { adress: "a" } } }],
    ["a port out of range", { "ssh-reverse-tunnel:publicHosts": { gate: { sshPort: 70000 } } }],
    [
      "an unknown setting in the defaults",
      { "ssh-reverse-tunnel:defaults": { internalHost: { user: "a" } } },
    ],
    [
      "a login without an account",
      { "ssh-reverse-tunnel:internalHosts": { nas: { logins: [{ from: "alice" }] } } },
    ],
  ])("does not accept %s", (_what, config) => {
    expect(fits(config)).toBe(false);
  });
});
