import fc from "fast-check";
import type { Answers, RecordedPart, Recording } from "../../tools/mocks.ts";
import { record } from "../../tools/mocks.ts";
import { anyText } from "./shells.ts";

/** Text that is special to a shell, to ssh, to systemd, to a file of lines, or to a reader. */
const odd = [
  ...[
    "\n",
    "\r",
    "\t",
    "\0",
    "\x1b[2J",
    "\x7f",
    "\u0085",
    "\u2028",
    "\u2029",
    "\u200b",
    "\u202e",
    "e\u0301",
    "\ufeff",
  ],
  ...[
    "$(id)",
    "`id`",
    "${HOME}",
    "%h",
    "%u",
    "%n",
    "%%",
    "~",
    "*",
    "?",
    "[a]",
    "!",
    "#",
    " #",
    "=",
    ",",
    "\\",
    "\\n",
  ],
  ...["'", '"', " ", "  ", ";", "|", "&", "<", ">", "(", ")", "{", "}", "@", "/", "../", "-", "--", ":", "."],
];

/** Whole texts that have caused errors elsewhere. */
const notorious = [
  ...[
    "",
    " ",
    "-",
    "--help",
    "-oProxyCommand=id",
    "~",
    "~root",
    ".",
    "..",
    "../../etc/passwd",
    "*",
    "%",
    "none",
    "any",
  ],
  ...[
    "__proto__",
    "constructor",
    "toString",
    "undefined",
    "null",
    "true",
    "0",
    "127.0.0.1:2222\nPermitRootLogin yes",
  ],
  ...[
    '"\nssh-ed25519 AAAA',
    'x",pty,command="id',
    "@cert-authority *",
    "x ProxyCommand=id",
    "x\tfile\t/etc/passwd",
  ],
  ...["a".repeat(300), "ä".repeat(20_000), "root@gate", "!root", "|1|a|b", "x\\", "$x\nExecStartPre=id"],
];

/** A valid text with something unusual in it, or an unusual text. */
export const hostile = (right: string): fc.Arbitrary<string> =>
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc
        .tuple(fc.nat(right.length), fc.constantFrom(...odd))
        .map(([at, text]) => right.slice(0, at) + text + right.slice(at)),
    },
    { weight: 2, arbitrary: fc.constantFrom(...notorious) },
    { weight: 1, arbitrary: anyText },
    // What a pattern may accept.
    { weight: 2, arbitrary: fc.string({ unit: fc.constantFrom(..."az09._-:*/@,[]"), maxLength: 70 }) },
  );

/** {@link record}, or the error that ended the program, including a rejected value that something waits for. */
export async function recordOrError(
  program: () => unknown,
  answers: Answers = {},
): Promise<Recording | Error> {
  let fail: (error: Error) => void = () => undefined;
  // If an input never becomes known, the program does not end either: Pulumi ends its process instead.
  const failed = new Promise<Error>((resolve) => (fail = resolve));
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", fail);
  // Node reports rejections after everything that was due; and what an ended program had begun must not affect the next
  // one.
  const settled = async () => {
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  try {
    const recorded = record(program, false, answers).then(async (recording) => {
      await settled();
      return recording;
    });
    return await Promise.race([failed, recorded]);
  } catch (error) {
    return error as Error;
  } finally {
    await settled();
    process.off("unhandledRejection", fail);
    for (const other of others) process.on("unhandledRejection", other);
  }
}

/**
 * The form of the texts that end up in files, without the words themselves: a value that adds a line, a word or an
 * option changes it.
 */
export function shapeOf({ commands }: Recording): string[] {
  return commands
    .flatMap(({ parts }) => parts)
    .map((part) => `${part.script}: ${JSON.stringify(shapesIn(part))}`)
    .sort();
}

function shapesIn({ values }: RecordedPart): Record<string, unknown> {
  const texts = Object.entries(values).flatMap(([name, text]): [string, unknown][] => {
    if (name === "LINE") return [[name, optionsAndKey(text)]];
    if (name === "ENTRY") return [[name, lines(text).map((line) => line.trim().split(" ")[0])]];
    if (
      [
        ...["KEYS", "DROP_IN", "FORWARDS", "LIST", "PACE", "PERMITS", "PORTS"],
        ...["SERVICE_UNIT", "CHECK_UNIT", "TIMER_UNIT"],
      ].includes(name)
    )
      return [[name, words(text)]];
    return [];
  });
  return Object.fromEntries(texts);
}

const lines = (text: string) => text.split("\n");
const words = (text: string) =>
  lines(text).map((line) => (/^(Description=|#)/.test(line) ? 1 : line.split(/\s/).length));

/** A line of authorized_keys as sshd parses it: how many options, and how many words after them. */
function optionsAndKey(line: string): unknown {
  const unquoted = line.replaceAll(/"(\\"|[^"])*"/g, '""');
  const [options = "", ...rest] = unquoted.split(" ");
  return [lines(line).length, options.split(",").length, rest.length];
}

/** One text in a structure of settings or arguments. */
export interface Leaf {
  path: (string | number)[];
  text: string;
}

/** Every text in a structure of plain maps and lists, numbers as texts. */
export function leavesOf(value: unknown, path: (string | number)[] = []): Leaf[] {
  if (typeof value === "string" || typeof value === "number") return [{ path, text: String(value) }];
  if (Array.isArray(value)) return value.flatMap((each, index) => leavesOf(each, [...path, index]));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return [];
  return Object.entries(value).flatMap(([key, each]) => leavesOf(each, [...path, key]));
}

/** The structure with one value replaced. */
export function withLeaf<T>(value: T, [key, ...rest]: (string | number)[], leaf: unknown): T {
  if (key === undefined) return leaf as T;
  if (Array.isArray(value)) {
    return value.map((each, index) =>
      index === key ? withLeaf(each as unknown, rest, leaf) : (each as unknown),
    ) as T;
  }
  const map = value as Record<string, unknown>;
  return { ...map, [key]: withLeaf(map[key], rest, leaf) } as T;
}
