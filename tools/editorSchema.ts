/** Writes docs/settings.schema.json, with which editors check and complete stack files, from the schema of the settings. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
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
        properties: Object.fromEntries(keys.map((key) => [`${project}:${key}`, properties[key]])),
        // Other keys belong to other programs and to providers.
        patternProperties: { [`^${project}:(?!(${keys.join("|")})$)`]: false },
      },
    },
  };
  return format(JSON.stringify(schema), { ...(await resolveConfig(editorSchemaFile)), parser: "json" });
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
  for (const [key, value] of Object.entries(adapted.properties ?? {})) {
    if (secrets.includes(key)) {
      const { description, ...text } = value as Json;
      adapted.properties![key] = { description: description!, anyOf: [text, secret] };
    }
  }
  return adapted;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(editorSchemaFile, await editorSchema());
  console.log("wrote docs/settings.schema.json");
}
