import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { scriptText } from "../../components/remoteScript.ts";
import { shellQuote } from "../../components/shell.ts";

/** The shells of this machine that a host may have as its sh, each with what begins its command line. */
export const shells = (
  [
    ["sh", ["sh"]],
    ["bash", ["bash", "--posix"]],
    ["busybox", ["busybox", "sh"]],
  ] as [string, string[]][]
).filter(([, [program]]) => spawnSync(program!, ["--help"], { stdio: "ignore" }).error === undefined);

/** What a script that travels on standard input printed, and how it ended. */
export function runScript(
  shell: string[],
  text: string,
  ...args: string[]
): { stdout: string; stderr: string; status: number | null } {
  const options = { input: text, encoding: "utf8" } as const;
  const { stdout, stderr, status } = spawnSync(shell[0]!, [...shell.slice(1), "-s", "--", ...args], options);
  return { stdout, stderr, status };
}

/**
 * A script of test/support/scripts as it travels: behind the header and the very library that ours have, but with its
 * records in a folder of the test's own.
 */
export function testScript(script: string, state: string, values: Record<string, string>): string {
  const header = { HOST: "gate", OWNER: "owner", RESOURCE: "resource", WHAT: "the test" };
  const text = scriptText(`../../test/support/scripts/${script}`, { ...header, ...values });
  const parts = text.split("\nSTATE=/var/lib/ssh-reverse-tunnel\n");
  if (parts.length !== 2) {
    throw new Error("lib.sh does not set STATE in the one line that is expected");
  }
  return parts.join(`\nSTATE=${shellQuote(state)}\n`);
}

const special = [
  "'",
  '"',
  "\\",
  "$",
  "`",
  "!",
  "\n",
  "\r",
  "\t",
  " ",
  "*",
  "#",
  "~",
  "-",
  "=",
  "%",
  ";",
  "&",
];

/** Any text without NUL; half of them of characters that mean something to a shell. */
export const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\0", "")),
  fc.string({ unit: fc.constantFrom(...special, "a", "ä", "\x01", "\x7f", "\x81"), maxLength: 40 }),
);
