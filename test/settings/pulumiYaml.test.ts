import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { settingsSchema } from "../../components/settings/schema.ts";

const { config } = parse(readFileSync(new URL("../../Pulumi.yaml", import.meta.url), "utf8")) as {
  config: Record<string, { default?: unknown }>;
};

// Pulumi refuses a stack that lacks one without a default there, before it runs the program.
test.each(Object.entries(config))("a stack may leave %s out if the program lets it", (key, declared) => {
  const setting = settingsSchema.shape[key.split(":")[1] as keyof typeof settingsSchema.shape];
  const absent = setting.safeParse(undefined);
  expect("default" in declared).toBe(absent.success);
  if (absent.success) expect(setting.parse(declared.default)).toEqual(absent.data);
});
