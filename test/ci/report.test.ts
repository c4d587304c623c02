import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GitHubApi } from "../support/githubApi.ts";

const report = new URL("../../tools/ci/report.sh", import.meta.url).pathname;

let api: GitHubApi;
let folder: string;

beforeEach(async () => {
  api = await GitHubApi.start();
  folder = await mkdtemp(join(tmpdir(), "report-"));
});

afterEach(async () => {
  await api.close();
  await rm(folder, { recursive: true });
});

/** Reports the result of a run that left these files. */
async function run(
  command: string,
  result: Record<string, string>,
  env: Record<string, string> = {},
): Promise<{ summary: string; stderr: string; exitCode: number | undefined }> {
  for (const name of ["log", "events", "drift", "status"]) await rm(join(folder, name), { force: true });
  await rm(join(folder, "summary"), { force: true });
  for (const [name, text] of Object.entries(result)) await writeFile(join(folder, name), text);
  const { stderr, exitCode } = await execa(report, [command], {
    reject: false,
    env: {
      ...{ STACK: "prod", RESULT: folder, GITHUB_STEP_SUMMARY: join(folder, "summary") },
      ...{ ...api.env, PULL_REQUEST: "1", ...env },
    },
  });
  const summary = await readFile(join(folder, "summary"), "utf8").catch(() => "");
  return { summary, stderr, exitCode };
}

const urn = (type: string, name: string) => `urn:pulumi:prod::ssh-reverse-tunnel::${type}::${name}`;
const stack = urn("pulumi:pulumi:Stack", "ssh-reverse-tunnel-prod");
const command = "command:remote:Command";
const kinds = {
  public: "ssh-reverse-tunnel:index:PublicHost",
  internal: "ssh-reverse-tunnel:index:InternalHost",
  tunnel: "ssh-reverse-tunnel:index:ReverseTunnel",
};

/** One step, of a resource below these. */
const step = (op: string, type: string, name: string, parent: string) => ({
  resourcePreEvent: { metadata: { op, type, urn: urn(type, name), new: { parent } } },
});
const summaryOf = (resourceChanges: object) => ({ summaryEvent: { resourceChanges } });
const diagnostic = (severity: string, message: string, of?: string) => ({
  diagnosticEvent: { severity, message, urn: of },
});
const lines = (...events: object[]) => events.map((event) => JSON.stringify(event)).join("\n");

/** A change of a port: one tunnel, on both its hosts. */
const change = lines(
  step("same", kinds.tunnel, "nas", stack),
  step("update", command, "nas-start", urn(kinds.tunnel, "nas")),
  step("create", command, "nas-on.gate-firewall-ports", urn(kinds.tunnel, "nas")),
  step("update", command, "nas-on.gate-admit", urn(kinds.tunnel, "nas")),
  step("same", command, "nas-finish", urn(kinds.tunnel, "nas")),
  summaryOf({ same: 20, update: 2, create: 1 }),
);

describe("a preview", () => {
  test("becomes a comment with the counts and with what changes on each host", async () => {
    const pull = api.add({ pull_request: {} });
    const { exitCode } = await run("preview", { status: "0", log: "all of it", events: change });
    expect(exitCode).toBe(0);
    expect(pull.comments.map(({ body }) => body)).toEqual([
      `<!-- ssh-reverse-tunnel preview prod -->
### prod: preview: 1 to create, 2 to update, 20 unchanged

\`\`\`text
gate: create nas-on.gate-firewall-ports; update nas-on.gate-admit
nas: update nas-start
\`\`\`

[All of it](https://github.example/me/tunnels/actions/runs/42)`,
    ]);
  });

  test("replaces its own comment, and leaves those of other stacks and of people alone", async () => {
    const pull = api.add({ pull_request: {} });
    const marker = "<!-- ssh-reverse-tunnel preview prod -->";
    api.comment(pull, `${marker}\nI only quote it`, "User");
    api.comment(pull, "<!-- ssh-reverse-tunnel preview staging -->\nstaging");
    // More than one page of them.
    for (let count = 0; count < 120; count++) api.comment(pull, "a comment", "User");
    const own = api.comment(pull, `${marker}\nearlier`);
    await run("preview", { status: "0", events: lines(summaryOf({ same: 22 })) });
    expect(own.body).toMatch(/^<!-- ssh-reverse-tunnel preview prod -->\n### prod: preview: 22 unchanged\n/);
    expect(pull.comments).toHaveLength(123);
    expect(pull.comments[0]!.body).toBe(`${marker}\nI only quote it`);
    expect(pull.comments[1]!.body).toMatch(/staging$/);
  });

  test("has ten lines at most, errors first, and all of the output in the job's summary", async () => {
    const pull = api.add({ pull_request: {} });
    const hosts = Array.from({ length: 30 }, (_, index) => `site-${index}`);
    const events = lines(
      ...hosts.map((host) => step("update", command, `${host}-start`, urn(kinds.tunnel, host))),
      diagnostic("warning", "using pulumi-language-nodejs from $PATH at /x"),
      diagnostic("warning", "gate (203.0.113.30): a file: other content\n", urn(kinds.public, "gate")),
      diagnostic("error", "site-3 (192.0.2.3) does not answer\n", urn(command, "site-3-start")),
      diagnostic("error", "update failed\n", stack),
      summaryOf({ update: 30 }),
    );
    const { summary } = await run("preview", { status: "255", log: "the whole output", events });
    const { body } = pull.comments[0]!;
    const [, block = ""] = /```text\n([^]*?)\n```/.exec(body) ?? [];
    expect(block.split("\n")).toHaveLength(10);
    expect(block.split("\n").slice(0, 3)).toEqual([
      "error: site-3-start: site-3 (192.0.2.3) does not answer",
      "warning: gate: gate (203.0.113.30): a file: other content",
      "site-0: update site-0-start",
    ]);
    expect(block).toMatch(/\n… and 23 more lines$/);
    expect(body).toContain("### prod: preview: failed; 30 to update");
    expect(summary).toContain("the whole output");
  });

  test("shows text from elsewhere as it is, whatever Markdown is in it", async () => {
    const pull = api.add({ pull_request: {} });
    const message = "```\n</details> @everyone <img src=x>";
    const events = lines(diagnostic("error", message), summaryOf({}));
    await run("preview", { status: "255", log: message, events });
    expect(pull.comments[0]!.body).toContain(
      "````text\nerror: ```\nerror: </details> @everyone <img src=x>\n````",
    );
  });

  test("shows no password of an address, which Pulumi prints where it cannot connect", async () => {
    const pull = api.add({ pull_request: {} });
    const log = `error: unable to open state database "postgres://ci:s3cret@db.example.org/state": refused`;
    const { summary } = await run("preview", { status: "255", log });
    for (const text of [summary, pull.comments[0]!.body]) {
      expect(text).toContain('"postgres://ci:****@db.example.org/state": refused');
      expect(text).not.toContain("s3cret");
    }
  });

  test("shows which policy a stack breaks, and how", async () => {
    const pull = api.add({ pull_request: {} });
    const broken = (enforcementLevel: string, policyName: string) => ({
      policyEvent: {
        enforcementLevel,
        policyName,
        resourceUrn: stack,
        message: "What it is about.\nnas: why",
      },
    });
    const events = lines(broken("advisory", "key-age"), broken("mandatory", "port-range"), summaryOf({}));
    await run("preview", { status: "255", events });
    expect(pull.comments[0]!.body).toContain(
      "```text\nerror: nas: why (policy port-range)\nwarning: nas: why (policy key-age)\n```",
    );
  });

  test("that could not start shows what the CLI said", async () => {
    const pull = api.add({ pull_request: {} });
    await run("preview", { status: "255", log: "error: incorrect passphrase" });
    expect(pull.comments[0]!.body).toContain(
      "### prod: preview: failed\n\n```text\nerror: incorrect passphrase\n```",
    );
  });

  test("without a pull request only has the job's summary", async () => {
    const { summary } = await run("preview", { status: "0", events: change }, { PULL_REQUEST: "" });
    expect(summary).toContain("### prod: preview: 1 to create, 2 to update, 20 unchanged");
    expect(api.requests).toEqual([]);
  });

  test("that may not write a comment fails with a sentence that names the permission", async () => {
    api.add({ pull_request: {} });
    api.refuse = { status: 403, message: "Resource not accessible by integration" };
    const { stderr, exitCode } = await run("preview", { status: "0", events: change });
    expect([exitCode, stderr]).toEqual([
      1,
      "::error::prod: GitHub answered POST issues/1/comments with 403 Resource not accessible by integration; the job needs pull-requests: write for a comment, issues: write for an issue",
    ]);
  });
});

test("an `up` has a summary in the words of what was done, and writes no comment", async () => {
  const { summary } = await run("up", { status: "0", log: "all", events: change });
  expect(summary).toContain("### prod: 1 created, 2 updated, 20 unchanged");
  expect(api.requests).toEqual([]);
});

describe("a look for drift", () => {
  const found = (what: string) =>
    JSON.stringify({
      hosts: [
        { host: "gate", error: null, drift: [] },
        { host: "nas", error: null, drift: [{ what, record: "nas-start" }] },
      ],
    });
  const nothing = JSON.stringify({ hosts: [{ host: "gate", error: null, drift: [] }] });

  test("opens an issue, brings it up to date, and closes it when nothing differs any more", async () => {
    // One of another stack, and one of a person.
    api.add({
      title: "Drift in staging",
      body: "<!-- ssh-reverse-tunnel drift staging -->\n",
      labels: [{ name: "drift" }],
    });
    api.add({ title: "Drift in prod?", body: "I saw something", labels: [{ name: "drift" }] });
    await run("drift", { status: "1", drift: found("a file: other content") });
    await run("drift", { status: "1", drift: found("a unit: ActiveState inactive instead of active") });
    const [staging, person, ...own] = api.issues;
    expect(own.map(({ title, state, labels }) => ({ title, state, labels }))).toEqual([
      { title: "Drift in prod", state: "open", labels: [{ name: "drift" }] },
    ]);
    expect(own[0]!.body).toContain(
      "```text\nnas: a unit: ActiveState inactive instead of active (nas-start)\n```",
    );
    expect(own[0]!.body).not.toContain("other content");

    await run("drift", { status: "0", drift: nothing });
    expect([own[0]!.state, own[0]!.comments.map(({ body }) => body)]).toEqual([
      "closed",
      ["Nothing differs any more: [the run](https://github.example/me/tunnels/actions/runs/42)."],
    ]);
    expect([staging!.state, person!.state]).toEqual(["open", "open"]);

    // The next one is a new issue.
    await run("drift", { status: "1", drift: found("a file: other content") });
    expect(api.issues.map(({ state }) => state)).toEqual(["open", "open", "closed", "open"]);
  });

  test("opens an issue for a host, or a stack, that could not be looked at", async () => {
    const drift = JSON.stringify({ hosts: [{ host: "nas", error: "does not answer", drift: [] }] });
    await run("drift", { status: "2", drift });
    expect(api.issues[0]!.body).toContain("nas: not looked at, or not at everything: does not answer");
    await run("drift", { status: "2", drift: "", log: "drift: no stack named 'prod' found" });
    expect(api.issues[0]!.body).toContain("drift: no stack named 'prod' found");
    expect(api.issues).toHaveLength(1);
  });

  test("that finds nothing writes nothing if no issue is open", async () => {
    await run("drift", { status: "0", drift: nothing });
    expect(api.requests).toEqual(["GET /repos/me/tunnels/issues"]);
  });
});
