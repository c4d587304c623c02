/** Writes docs/settings.md from the schema of the settings, so that the page and the program cannot differ. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { settingsSchema } from "../components/settings/schema.ts";

/** The page that is written. */
export const settingsPage = fileURLToPath(new URL("../docs/settings.md", import.meta.url));

const intro = `# Settings

<!-- Written by tools/settingsReference.ts from components/settings/schema.ts: change it there, then run \`make settings\`. -->

Settings are in \`Pulumi.<stack>.yaml\`. Each key of the first table has the prefix \`ssh-reverse-tunnel:\`. See [the examples](../examples) for complete files. The settings are checked as a whole before anything runs: all mistakes are reported at once, each with its path, the value found and what is allowed. Unknown settings are mistakes, too. A setting of a host that is \`null\` is the same as one that is left out, except that it is not taken from \`defaults\` either.

An editor with a YAML language server checks and completes a stack file whose first line is \`# yaml-language-server: $schema=docs/settings.schema.json\`.

Set a secret with \`pulumi config set --secret --path 'ssh-reverse-tunnel:publicHosts.gate.admin.privateKey' <file\`. Pulumi encrypts it before storing it. Export \`PULUMI_CONFIG_PASSPHRASE\` first: Pulumi cannot ask for it when its input is a file.
`;

/** Values of the main settings; each is checked against its own schema. */
const examples: Record<string, unknown> = {
  "defaults.publicHost": { admin: { user: "admin" } },
  "defaults.internalHost": { admin: { user: "admin" }, keepAlive: { preset: "conservative" } },
  "publicHosts.<name>.address": "gate.example.org",
  "publicHosts.<name>.allowUsers": ["root", "alice"],
  "publicHosts.<name>.permitListen": ["127.0.0.1:2222", "*:8080"],
  "publicHosts.<name>.permitOpen": ["127.0.0.1:2222"],
  "publicHosts.<name>.portRange": { first: 20000, last: 20099 },
  "publicHosts.<name>.textfileDirectory": "/var/lib/prometheus/node-exporter",
  "publicHosts.<name>.toolsDirectory": "/opt/tunnels",
  "publicHosts.<name>.admin.ssh": "gate",
  "publicHosts.<name>.admin.user": "admin",
  "publicHosts.<name>.admin.privateKeyFile": "~/.ssh/id_ed25519",
  "publicHosts.<name>.admin.hostKey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJx4DM0nZ3bF",
  "publicHosts.<name>.admin.bastion": { address: "jump.example.org", user: "admin" },
  "internalHosts.<name>.address": "192.168.1.10",
  "internalHosts.<name>.admin.throughTunnel": "ssh",
  "internalHosts.<name>.publicHost": "gate",
  "internalHosts.<name>.publicHosts": ["gate-a", "gate-b"],
  "internalHosts.<name>.tunnels": { nas: { publicHost: "gate-a" }, far: { publicHost: "gate-b" } },
  "internalHosts.<name>.account": "backup",
  "internalHosts.<name>.forwards": { ssh: { remotePort: 2222, target: 22 } },
  "internalHosts.<name>.forwards.<name>.remotePort": 2222,
  "internalHosts.<name>.forwards.<name>.target": "192.168.1.20:443",
  "internalHosts.<name>.forwards.<name>.listen": "all",
  "internalHosts.<name>.forwards.<name>.sources": ["203.0.113.0/24", "2001:db8::/32"],
  "internalHosts.<name>.logins": [{ from: "alice", to: "root" }],
  "internalHosts.<name>.logins[].alias": "my-nas",
  "internalHosts.<name>.logins[].via": "ssh",
  revision: "2026-01-31",
};

/** Settings that belong together: the places where they may be, and the table. */
interface Section {
  paths: string[];
  table: string;
}

/** The text of the page, formatted by prettier. */
export async function settingsReference(): Promise<string> {
  const sections: Section[] = [];
  const unused = new Set(Object.keys(examples));
  collect("", settingsSchema, sections, unused);
  if (unused.size > 0) {
    throw new Error(`there are no such settings to give an example of: ${[...unused].join(", ")}`);
  }
  const text = sections.map(({ paths, table }) => {
    const title = paths.map((path) => (path === "" ? "The stack" : `\`${path}\``)).join(", ");
    return `## ${title}\n\n${table}\n`;
  });
  return format([intro, ...text].join("\n"), { ...(await resolveConfig(settingsPage)), parser: "markdown" });
}

/** Adds the section of an object, and those of the objects in it. */
function collect(path: string, object: z.ZodObject, sections: Section[], unused: Set<string>): void {
  const inner: { path: string; object: z.ZodObject }[] = [];
  const rows = Object.entries(object.shape).map(([key, schema]) => {
    const here = path === "" ? key : `${path}.${key}`;
    const found = objectIn(schema as z.ZodType, here);
    // The defaults of a kind of host are its settings, which have their own tables.
    if (found && path !== "defaults") inner.push(found);
    unused.delete(here);
    return row(key, here, schema as z.ZodType, found !== undefined);
  });
  const table = ["| setting | allowed | default | meaning |", "| --- | --- | --- | --- |", ...rows].join(
    "\n",
  );
  const same = sections.find((section) => sameTable(section.table, table));
  if (same) {
    same.paths.push(path);
  } else {
    sections.push({ paths: [path], table });
  }
  inner.forEach((each) => collect(each.path, each.object, sections, unused));
}

function row(key: string, path: string, schema: z.ZodType, hasSection: boolean): string {
  const example = path in examples ? ` Example: ${exampleOf(path, schema)}` : "";
  return `| \`${key}\` | ${allowed(schema, hasSection)} | ${defaultOf(schema)} | ${schema.description ?? ""}${example} |`;
}

/** The text of the error for a wrong value: "must be a port from 1 to 65535". */
function allowed(schema: z.ZodType, hasSection: boolean): string {
  const message = schema.safeParse(null).error?.issues[0]?.message ?? "";
  const words = /^must be (.*)$/.exec(message)?.[1];
  if (words === undefined && !hasSection) {
    throw new Error(`the schema does not say what is allowed: '${schema.description ?? message}'`);
  }
  return words ?? "see its table below";
}

function defaultOf(schema: z.ZodType): string {
  const { success, data } = schema.safeParse(undefined);
  if (!success) {
    return "required";
  }
  return data === undefined ? "none" : schema instanceof z.ZodPrefault ? inner(schema) : literal(data);
}

/** The value of an object that is left out: either only the defaults of its settings, or its own values. */
function inner(schema: z.ZodPrefault): string {
  const value = schema.def.defaultValue as object;
  return Object.keys(value).length === 0 ? "those of its table" : literal(value);
}

function exampleOf(path: string, schema: z.ZodType): string {
  schema.parse(examples[path]);
  return literal(examples[path]);
}

/** A value in YAML on one line. */
function literal(value: unknown): string {
  const text = JSON.stringify(value)
    .replaceAll(/"(\w+)":/g, "$1: ")
    .replaceAll(",", ", ");
  return `\`${text}\``;
}

/** The object that a schema describes, inside an optional, a list or a map; undefined for a plain value. */
function objectIn(schema: z.ZodType, path: string): { path: string; object: z.ZodObject } | undefined {
  if (schema instanceof z.ZodObject) {
    return { path, object: schema };
  }
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return objectIn(schema.unwrap() as z.ZodType, path);
  }
  if (schema instanceof z.ZodRecord) {
    return objectIn(schema.valueType as z.ZodType, `${path}.<name>`);
  }
  if (schema instanceof z.ZodArray) {
    return objectIn(schema.element as z.ZodType, `${path}[]`);
  }
  return undefined;
}

/** A bastion has the same settings everywhere, so an example in one place makes no difference. */
function sameTable(one: string, other: string): boolean {
  const bare = (table: string) => table.replaceAll(/ Example: `.*?` \|/g, " |");
  return bare(one) === bare(other);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(settingsPage, await settingsReference());
  console.log("wrote docs/settings.md");
}
