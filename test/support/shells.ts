import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { partText } from "../../tools/parseCommand.ts";

/** The shells of this machine that a host may have as its sh, each with the beginning of its command line. */
export const shells = (
  [
    ["sh", ["sh"]],
    ["bash", ["bash", "--posix"]],
    ["busybox", ["busybox", "sh"]],
  ] as [string, string[]][]
).filter(([, [program]]) => spawnSync(program!, ["--help"], { stdio: "ignore" }).error === undefined);

/** The output of a script sent on standard input, and how it ended. */
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
 * A script of test/support/scripts as it is sent: after the header and the library of our scripts, but with its records
 * in a folder of the test, and its lock next to that.
 */
export function testScript(script: string, state: string, values: Record<string, string>): string {
  return withState(`../test/support/scripts/${script}`, state, values);
}

/** The same for a script of ours; what it does as another account is done as the user who runs the test. */
export function ourScript(script: string, state: string, values: Record<string, string>): string {
  const asMyself = 'as() { shift && "$@"; }\nchown() { :; }\n';
  return replaceOnce(withState(script, state, values), '\nmain "$@"\n', `\n${asMyself}main "$@"\n`);
}

function withState(script: string, state: string, values: Record<string, string>): string {
  const header = { HOST: "gate", OWNER: "owner", STACK_ID: "", RESOURCE: "resource", WHAT: "the test" };
  // Test files run at the same time, so each script has for itself what the library has in /run, too.
  const own = {
    "LOCK_FILE=/run/ssh-reverse-tunnel.lock": `LOCK_FILE=${shellQuote(`${state}.lock`)}`,
    "WORK=/run/ssh-reverse-tunnel.work": `WORK=${shellQuote(`${state}.work`)}`,
    "OVERWRITTEN=/run/$OWNER.$RESOURCE.overwritten": `OVERWRITTEN=${shellQuote(`${state}.overwritten`)}`,
    "STATE=/var/lib/ssh-reverse-tunnel": `STATE=${shellQuote(state)}`,
  };
  return Object.entries(own).reduce(
    (text, [line, by]) => replaceOnce(text, `\n${line}\n`, `\n${by}\n`),
    partText(script, { ...header, ...values }),
  );
}

function replaceOnce(text: string, line: string, by: string): string {
  const parts = text.split(line);
  if (parts.length !== 2) {
    throw new Error(`there are ${parts.length - 1} such lines in the script: ${line}`);
  }
  return parts.join(by);
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

/** Any text without NUL; half of its characters are special to a shell. */
export const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replaceAll("\0", "")),
  fc.string({ unit: fc.constantFrom(...special, "a", "ä", "\x01", "\x7f", "\x81"), maxLength: 40 }),
);
