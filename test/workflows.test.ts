import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

// What runs on GitHub, as text: somebody who can change a package that we depend on must not see a secret there.

interface Step {
  name?: string;
  uses?: string;
  run?: string;
  env?: Record<string, string>;
  with?: Record<string, string>;
}
interface Job {
  steps?: Step[];
  uses?: string;
  with?: Record<string, string>;
  secrets?: Record<string, string> | "inherit";
  if?: string;
  needs?: string;
  env?: Record<string, string>;
}
interface Workflow {
  on: { workflow_call?: { secrets: Record<string, unknown> } };
  env?: Record<string, string>;
  jobs: Record<string, Job>;
}

const read = (file: string): unknown => parse(readFileSync(file, "utf8"));
const folder = ".github/workflows";
const example = "examples/settings-repository/.github/workflows";
const workflows = [folder, example].flatMap((place) =>
  readdirSync(place).map((name) => [`${place}/${name}`, read(`${place}/${name}`) as Workflow] as const),
);
const workflow = (name: string) => read(`${folder}/${name}.yml`) as Workflow;
const stepsOf = ({ jobs }: Workflow) => Object.values(jobs).flatMap(({ steps = [] }) => steps);
const action = read(".github/actions/pulumi/action.yml") as {
  inputs: Record<string, unknown>;
  runs: { steps: Step[] };
};

const secret =
  /\$\{\{(?:(?!\}\}).)*\b(secrets|inputs\.(backend-url|access-token|passphrase|state-[a-z-]+))\b(?! != '' \}\})/;
const withSecret = (values: Record<string, string> = {}) =>
  Object.entries(values)
    .filter(([, value]) => secret.test(value))
    .map(([name]) => name);

describe.each(workflows)("the workflow %s", (_name, workflow) => {
  const jobs = Object.values(workflow.jobs);

  test("has no secret in the environment of a job or of the whole workflow, where each step would see it", () => {
    expect([workflow, ...jobs].flatMap(({ env }) => withSecret(env))).toEqual([]);
  });

  test("passes secrets only to our own action, and to no command", () => {
    const given = stepsOf(workflow).filter(
      (step) => withSecret({ ...step.env, ...step.with, run: step.run ?? "" }).length,
    );
    const ours = "./.ssh-reverse-tunnel/.github/actions/pulumi";
    expect(given.filter(({ uses }) => uses !== ours)).toEqual([]);
  });

  test("passes secrets to our own workflows alone, by their names", () => {
    const given = jobs.filter(({ secrets }) => secrets);
    const own = /^(\.|OWNER\/ssh-reverse-tunnel)\/\.github\/workflows\/(stacks|deploy)\.yml(@v[0-9.]+)?$/;
    expect(given.filter(({ uses = "" }) => !own.test(uses))).toEqual([]);
    for (const { secrets } of given) {
      for (const [name, value] of Object.entries(secrets!)) expect(value).toBe(`\${{ secrets.${name} }}`);
    }
  });

  test("puts nothing that GitHub fills in into a command, where it would be read as one", () => {
    expect(stepsOf(workflow).filter(({ run = "" }) => run.includes("${{"))).toEqual([]);
  });

  test("uses other actions by their commit", () => {
    const others = stepsOf(workflow).flatMap(({ uses }) => uses ?? []);
    expect(others.filter((uses) => !/^\.\/|@[0-9a-f]{40}$/.test(uses))).toEqual([]);
  });
});

test("`pulumi up` reaches an environment only after it has succeeded in the one before", () => {
  const jobs = Object.entries(workflow("deploy").jobs);
  expect(jobs).toHaveLength(5);
  jobs.forEach(([, { needs, with: inputs, if: condition, uses }], index) => {
    expect([needs, inputs!.environments, inputs!.command, uses]).toEqual([
      jobs[index - 1]?.[0],
      `\${{ toJSON(fromJSON(inputs.environments)[${index}]) }}`,
      "up",
      "./.github/workflows/stacks.yml",
    ]);
    expect(condition).toBe(index === 0 ? undefined : `fromJSON(inputs.environments)[${index}] != null`);
  });
});

test("a deployment passes on every secret that the stacks can have", () => {
  const names = (name: string) => Object.keys(workflow(name).on.workflow_call!.secrets);
  expect(names("deploy")).toEqual(names("stacks"));
  for (const { secrets } of Object.values(workflow("deploy").jobs)) {
    expect(Object.keys(secrets!)).toEqual(names("stacks"));
  }
});

test("the workflow for stacks has the tool of its own commit, and gives the action every input that it has", () => {
  const [, checkout, ours] = stepsOf(workflow("stacks"));
  expect(checkout!.with).toMatchObject({
    repository: "${{ job.workflow_repository }}",
    ref: "${{ job.workflow_sha }}",
    path: ".ssh-reverse-tunnel",
  });
  expect(Object.keys(ours!.with!)).toEqual(Object.keys(action.inputs));
});

test("each step of the action that is a command runs a script of tools/ci, and nothing else", () => {
  const runs = action.runs.steps.flatMap(({ run }) => run ?? []);
  expect(
    runs.map(
      (run) =>
        /^"\$GITHUB_ACTION_PATH\/\.\.\/\.\.\/\.\.\/tools\/ci\/(\w+)\.sh"( "\$COMMAND")?$/.exec(run)?.[1],
    ),
  ).toEqual(["state", "install", "lab", "stack", "report"]);
});

test("the unit tests run on the oldest Node that package.json allows", () => {
  const { engines } = JSON.parse(readFileSync("package.json", "utf8")) as { engines: { node: string } };
  const { jobs } = workflow("check");
  const versions = jobs["oldest-node"]!.steps!.flatMap((step) => step.with?.["node-version"] ?? []);
  expect(versions.map((version) => `>=${version}`)).toEqual([engines.node]);
});

test("whoever copies the example, or a command of the documents, gets this version", () => {
  const { version } = JSON.parse(readFileSync("package.json", "utf8")) as { version: string };
  const texts = ["docs/ci.md", ...readdirSync(example).map((name) => `${example}/${name}`)].map((file) =>
    readFileSync(file, "utf8"),
  );
  const named = texts.join("\n").match(/(?<=@|--branch |`)v\d+\.\d+\.\d+/g) ?? [];
  expect(named.length).toBeGreaterThan(4);
  expect(new Set(named)).toEqual(new Set([`v${version}`]));
  const pack = JSON.parse(readFileSync("policies/package.json", "utf8")) as { version: string };
  expect(pack.version).toBe(version);
});

test("each kind of dependency that is pinned somewhere is moved by dependabot", () => {
  const { updates } = read(".github/dependabot.yml") as {
    updates: { "package-ecosystem": string; directory?: string; directories?: string[] }[];
  };
  const places = updates.flatMap(({ directory, directories = [directory!], ...update }) =>
    directories.map((place) => [update["package-ecosystem"], place]),
  );
  expect(places).toEqual([
    ["github-actions", "/"],
    ["github-actions", "/.github/actions/pulumi"],
    ["npm", "/"],
    ["npm", "/policies"],
    ["gomod", "/lab/engine"],
  ]);
});

describe("the action that runs Pulumi", () => {
  const { steps } = action.runs;

  test("passes its secrets only to Pulumi's own step", () => {
    const given = steps.filter(
      (step) => withSecret({ ...step.env, ...step.with, run: step.run ?? "" }).length,
    );
    expect(given.map(({ name }) => name)).toEqual(["pulumi"]);
    expect(withSecret(given[0]!.env)).toEqual([
      "PULUMI_BACKEND_URL",
      "PULUMI_ACCESS_TOKEN",
      "PULUMI_CONFIG_PASSPHRASE",
      "STATE_ACCESS_KEY_ID",
      "STATE_SECRET_ACCESS_KEY",
    ]);
  });

  test("uses other actions by their commit", () => {
    const others = steps.flatMap(({ uses }) => uses ?? []);
    expect(others.filter((uses) => !/@[0-9a-f]{40}$/.test(uses))).toEqual([]);
  });
});

test.each([
  ".github/actions/pulumi/action.yml",
  ...workflows.map(([name]) => name),
  ...readdirSync("tools/ci").map((name) => `tools/ci/${name}`),
  "Makefile",
])("no npm package runs a script of its own when it is installed: %s", (file) => {
  const installs = readFileSync(file, "utf8").match(/\bnpm (ci|i|install|add)\b.*/g) ?? [];
  expect(installs.filter((line) => !line.includes("--ignore-scripts"))).toEqual([]);
});
