/**
 * Reports what `stack.sh` did: as the job's summary, as a comment on the pull request, or as an issue. See docs/ci.md.
 *
 * Usage: report.ts preview|up|drift, with STACK and RESULT as for `stack.sh`, PULL_REQUEST with the number, and the
 * variables of every job on GitHub.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { HostDrift } from "../drift.ts";
import { eventsIn, summarize } from "./events.ts";
import { GitHub } from "./github.ts";

/** How many lines a comment has below its heading. */
const LINES = 10;
/** How long one of them may be. */
const WIDTH = 200;
/** GitHub refuses a summary of more than 1 MiB, and an issue of more than 65536 characters. */
const LONGEST_SUMMARY = 500_000;
const LONGEST_BODY = 50_000;
const LABEL = "drift";

const env = (name: string) => process.env[name] ?? "";
const stack = env("STACK");
const log = readResult("log").trim();
const run = `${env("GITHUB_SERVER_URL")}/${env("GITHUB_REPOSITORY")}/actions/runs/${env("GITHUB_RUN_ID")}`;
const marker = (what: string) => `<!-- ssh-reverse-tunnel ${what} ${stack} -->`;
const github = () =>
  new GitHub({
    api: env("GITHUB_API_URL"),
    repository: env("GITHUB_REPOSITORY"),
    token: env("GITHUB_TOKEN"),
  });

/** Without the password of an address: Pulumi prints that of its state where it cannot connect. */
function readResult(name: string): string {
  const file = join(env("RESULT"), name);
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  return text.replaceAll(/(\w:\/\/[^\s"/:@]*):[^\s"/]*@/g, "$1:****@");
}

/** As it is, whatever is in it: a fence that is longer than any in the text ends where it should. */
function fenced(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([ticks]) => ticks.length));
  const fence = "`".repeat(longest + 1);
  return `${fence}text\n${text}\n${fence}`;
}

const cut = (text: string, width: number) => (text.length > width ? `${text.slice(0, width - 1)}…` : text);

/** The first lines; the last one says how many are left out. */
function first(lines: string[]): string[] {
  const narrow = lines.map((line) => cut(line, WIDTH));
  if (narrow.length <= LINES) return narrow;
  return [...narrow.slice(0, LINES - 1), `… and ${lines.length - LINES + 1} more lines`];
}

/** The end of a long text is what counts. */
const end = (text: string, most: number) => (text.length > most ? `…\n${text.slice(-most)}` : text);

function summary(text: string): void {
  const file = env("GITHUB_STEP_SUMMARY");
  if (file !== "") appendFileSync(file, `${text}\n`);
}

async function reportRun(command: "preview" | "up"): Promise<void> {
  const failed = readResult("status").trim() !== "0";
  const { counts, lines } = summarize(command, eventsIn(readResult("events")));
  const outcome = [...(failed ? ["failed"] : []), ...(counts === undefined ? [] : [counts])].join("; ");
  const title = `### ${stack}: ${command === "up" ? "" : "preview: "}${outcome || "nothing was done"}`;
  // Without an event, the CLI itself has said why.
  const shown = lines.length > 0 ? first(lines) : failed ? first(log.split("\n").slice(-LINES)) : [];
  const short = [title, ...(shown.length > 0 ? ["", fenced(shown.join("\n"))] : [])].join("\n");
  summary(
    `${short}\n\n<details><summary>All of it</summary>\n\n${fenced(end(log, LONGEST_SUMMARY))}\n\n</details>`,
  );
  if (command === "preview" && env("PULL_REQUEST") !== "") {
    await github().comment(Number(env("PULL_REQUEST")), marker("preview"), `${short}\n\n[All of it](${run})`);
  }
}

async function reportDrift(): Promise<void> {
  const found = driftLines();
  const title = `Drift in ${stack}`;
  if (found.length === 0) {
    summary(`### ${stack}: nothing differs`);
    await github().closeIssue(LABEL, marker("drift"), `Nothing differs any more: [the run](${run}).`);
    return;
  }
  const text = fenced(end(found.join("\n"), LONGEST_BODY));
  summary(`### ${title}\n\n${text}`);
  await github().openIssue(
    LABEL,
    marker("drift"),
    title,
    `The hosts of \`${stack}\` differ from what the last \`pulumi up\` left, or could not be looked at ([the run](${run})):\n\n${text}\n\n\`pulumi up\` repairs what differs. This issue is closed by the first run that finds nothing.`,
  );
}

/** A line for each thing that differs, or could not be looked at. */
function driftLines(): string[] {
  const status = readResult("status").trim();
  if (status === "0") return [];
  const json = readResult("drift");
  if (json.trim() === "") return log === "" ? [`the look ended with status ${status}`] : log.split("\n");
  const { hosts } = JSON.parse(json) as { hosts: HostDrift[] };
  return hosts.flatMap(({ host, error, drift }) => [
    ...(error === null ? [] : [`${host}: not looked at, or not at everything: ${error}`]),
    ...drift.map(({ what, record }) => `${host}: ${what}${record === null ? "" : ` (${record})`}`),
  ]);
}

const [, , command] = process.argv;
try {
  if (command === "preview" || command === "up") await reportRun(command);
  else if (command === "drift") await reportDrift();
  else throw new Error("usage: report.ts preview|up|drift");
} catch (error) {
  console.error(`::error::${stack}: ${(error as Error).message}`);
  process.exitCode = 1;
}
