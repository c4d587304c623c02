/** Writes docs/settings.schema.json, with which editors check and complete stack files, from the schema of the settings. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { textSettings } from "../components/settings/load.ts";
import { settingsSchema } from "../components/settings/schema.ts";

/** The file that is written. Stack files name it: `# yaml-language-server: $schema=docs/settings.schema.json`. */
export const editorSchemaFile = fileURLToPath(new URL("../docs/settings.schema.json", import.meta.url));

const project = "ssh-reverse-tunnel";

/** A part of a JSON schema. */
type Json = z.core.JSONSchema.JSONSchema;

/** What `pulumi config set --secret` stores instead of a text. */
const secret: Json = {
  type: "object",
  properties: { secure: { type: "string" } },
  required: ["secure"],
  additionalProperties: false,
};
const secrets = ["privateKey", "passphrase", "password"];

/** The text of the file, formatted by prettier. */
export async function editorSchema(): Promise<string> {
  const { properties = {} } = adapt(
    z.toJSONSchema(settingsSchema, { io: "input", target: "draft-7" }),
  ) as Json;
  const keys = Object.keys(properties);
  const schema = {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: `The settings of a stack of ${project}`,
    description: "Written by tools/editorSchema.ts from components/settings/schema.ts.",
    type: "object",
    properties: {
      config: {
        type: "object",
        properties: Object.fromEntries(
          keys.map((key) => [`${project}:${key}`, asStored(key, properties[key] as Json)]),
        ),
        // Other keys belong to other programs and to providers.
        patternProperties: { [`^${project}:(?!(${keys.join("|")})$)`]: false },
      },
    },
  };
  return format(JSON.stringify(schema), { ...(await resolveConfig(editorSchemaFile)), parser: "json" });
}

/** A host itself may not be `null`. */
function ofHosts({ additionalProperties: host, ...json }: Json): Json {
  return { ...json, additionalProperties: withNull(host as Json) };
}

/** The setting of a stack as the Pulumi CLI stores it, which makes a text of `true`, and as the program takes it. */
function asStored(key: string, json: Json): Json {
  if (textSettings.includes(key)) return { ...json, type: ["string", "number"] as never };
  if (key === "defaults") return withNull(json);
  if (json.type === "object") return ofHosts(json);
  if (json.type !== "boolean") return json;
  const { default: byDefault, description } = json;
  return { default: byDefault!, description: description!, enum: [true, false, "true", "false"] };
}

/** The setting of a host, which may be `null` instead. */
function orNull({ description, default: byDefault, ...json }: Json): Json {
  const annotations = {
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
  };
  return { ...annotations, anyOf: [...(json.anyOf ?? [json]), { type: "null" }] };
}

/** With what a file may have that the checked settings no longer do. */
function adapt(json: unknown, inList = false): unknown {
  if (Array.isArray(json)) return json.map((each) => adapt(each, inList));
  if (typeof json !== "object" || json === null) return json;
  const adapted = Object.fromEntries(
    Object.entries(json).map(([key, value]) => [key, adapt(value, inList || key === "items")]),
  ) as Json;
  // A host may have any setting from the defaults, but not in the middle of a list.
  if (!inList) delete adapted.required;
  // 0.3 is no multiple of 0.1 in binary numbers.
  delete adapted.multipleOf;
  for (const [key, value] of Object.entries(adapted.properties ?? {})) {
    if (secrets.includes(key)) {
      const { description, ...text } = value as Json;
      adapted.properties![key] = { description: description!, anyOf: [text, secret] };
    }
  }
  return adapted;
}

/** The same with `null` for each setting in it, and for each entry of a map, but not in the middle of a list. */
function withNull(json: Json): Json {
  // what encrypts a secret
  if (json.required !== undefined) return json;
  const { properties, additionalProperties: entries, anyOf, ...rest } = json;
  return {
    ...rest,
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map((each) => withNull(each)) }),
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).map(([key, value]) => [key, orNull(withNull(value as Json))]),
          ),
        }),
    ...(entries === undefined
      ? {}
      : { additionalProperties: typeof entries === "object" ? orNull(withNull(entries)) : entries }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(editorSchemaFile, await editorSchema());
  console.log("wrote docs/settings.schema.json");
}
