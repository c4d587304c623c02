import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { settingsPage, settingsReference } from "../../tools/settingsReference.ts";

test("docs/settings.md is the output of 'make settings'", async () => {
  expect(readFileSync(settingsPage, "utf8")).toBe(await settingsReference());
});
