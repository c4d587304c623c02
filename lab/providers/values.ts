// Property values in the format between the engine and a provider: plain JSON, with secrets in marked objects, and
// placeholders for values that are known only in a deployment.

/** A resource's properties. */
export type Properties = Record<string, unknown>;

const SIGNATURE = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";
const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** One placeholder for each type of unknown value: any, bool, number, array, asset, archive, object. */
const UNKNOWNS = new Set([
  UNKNOWN,
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
  "030794c1-ac77-496b-92df-f27374a8bd58",
  "e48ece36-62e2-4504-bad9-02848725956a",
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
]);

/** The placeholder for a value that the preview cannot know. */
export const unknown: unknown = UNKNOWN;

export function isUnknown(value: unknown): boolean {
  return typeof value === "string" && UNKNOWNS.has(value);
}

export function isRecord(value: unknown): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function isSecret(value: unknown): value is { value: unknown } {
  return isRecord(value) && value[SIGNATURE] === SECRET;
}

/** Marks a value as secret, unless it already is. */
export function secret(value: unknown): unknown {
  return isSecret(value) ? value : { [SIGNATURE]: SECRET, value };
}

/** The value without its secret markers, at any depth. */
export function reveal(value: unknown): unknown {
  if (isSecret(value)) return reveal(value.value);
  if (Array.isArray(value)) return value.map(reveal);
  if (!isRecord(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, reveal(inner)]));
}

/** Whether two values are the same, including their secret markers. */
export function equal(a: unknown, b: unknown): boolean {
  return diffValues("", a, b).size === 0;
}

/** How one property changed, by its path. */
type Change = "add" | "delete" | "update";

/** The changed properties, by path: `stdin`, `environment.LANG`, `triggers[0]`. */
export type Changes = Map<string, Change>;

/** Every difference between two sets of properties, by path. */
export function diff(olds: Properties, news: Properties): Changes {
  return diffRecords("", olds, news);
}

function diffRecords(path: string, olds: Properties, news: Properties): Changes {
  const changes = new Map<string, Change>();
  for (const key of new Set([...Object.keys(olds), ...Object.keys(news)])) {
    merge(changes, diffValues(join(path, key), olds[key], news[key]));
  }
  return changes;
}

function diffValues(path: string, a: unknown, b: unknown): Changes {
  if (a === undefined || b === undefined) {
    return a === b ? SAME : changed(path, a === undefined ? "add" : "delete");
  }
  // A secret is compared as a whole: its content must not appear in a path.
  if (isSecret(a) && isSecret(b)) return equal(a.value, b.value) ? SAME : changed(path, "update");
  if (isSecret(a) || isSecret(b)) return changed(path, "update");
  if (Array.isArray(a) && Array.isArray(b)) {
    const changes = new Map<string, Change>();
    for (let i = 0; i < Math.max(a.length, b.length); i++)
      merge(changes, diffValues(`${path}[${i}]`, a[i], b[i]));
    return changes;
  }
  if (isRecord(a) && isRecord(b)) return diffRecords(path, a, b);
  return a === b ? SAME : changed(path, "update");
}

const SAME: Changes = new Map();

function changed(path: string, change: Change): Changes {
  return new Map([[path, change]]);
}

function merge(into: Changes, from: Changes): void {
  for (const [path, change] of from) into.set(path, change);
}

/** A path in the engine's own notation, in which an unusual key has brackets. */
function join(path: string, key: string): string {
  if (!/^[A-Za-z_$][\w$]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}
