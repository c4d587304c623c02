/** Which stacks a project folder has, and which of them are meant. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { minimatch } from "minimatch";
import { parse } from "yaml";

/** The names of the stacks that have a settings file, Pulumi.<stack>.yaml, in this folder; site-2 comes before site-10. */
export function stacksIn(folder: string): string[] {
  return readdirSync(folder)
    .flatMap((file) => /^Pulumi\.(.+)\.yaml$/.exec(file)?.[1] ?? [])
    .sort(new Intl.Collator("en", { numeric: true }).compare);
}

/** Those that a name or pattern fits, each once, however many fit it. */
export function chooseStacks(all: string[], patterns: string[]): string[] {
  const fits = (stack: string, pattern: string) =>
    minimatch(stack, pattern, { dot: true, nocomment: true, nonegate: true });
  const lost = patterns.filter((pattern) => !all.some((stack) => fits(stack, pattern)));
  if (lost.length > 0) {
    throw new Error(
      `no stack is called ${lost.join(" or ")}; a stack needs its settings in Pulumi.<stack>.yaml, and there are: ${all.join(", ") || "none"}`,
    );
  }
  return all.filter((stack) => patterns.some((pattern) => fits(stack, pattern)));
}

/**
 * The stacks that manage a public host for this one, by the setting `managedBy`. None where the file cannot be read: the
 * stack's own run says so.
 */
export function managersOf(folder: string, stack: string): string[] {
  const managers: string[] = [];
  const find = (text: string): void => {
    try {
      parse(text, (key, value: unknown) => {
        // Of organization/project/stack, the last.
        if (key === "managedBy" && typeof value === "string") managers.push(value.split("/").at(-1)!);
        // As `pulumi config set` without --path leaves it.
        if (String(key).endsWith(":publicHosts") && typeof value === "string") find(value);
        return value;
      });
    } catch {
      managers.length = 0;
    }
  };
  find(readFileSync(join(folder, `Pulumi.${stack}.yaml`), "utf8"));
  return managers;
}
