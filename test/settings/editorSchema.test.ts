import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { editorSchema, editorSchemaFile } from "../../tools/editorSchema.ts";

const root = join(import.meta.dirname, "../..");
const text = readFileSync(editorSchemaFile, "utf8");
const schema = z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
const fits = (config: object) => schema.safeParse({ config }).success;
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
    expect(first).toBe("# yaml-language-server: $schema=docs/settings.schema.json");
    expect(schema.safeParse(parse(content)).error).toBeUndefined();
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

  test.each<[string, object]>([
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
