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
  steps: Step[];
  needs?: string;
  environment?: string;
  env?: Record<string, string>;
}
interface Workflow {
  env?: Record<string, string>;
  jobs: Record<string, Job>;
}

const read = (file: string): unknown => parse(readFileSync(file, "utf8"));
const folder = ".github/workflows";
const workflows = readdirSync(folder).map((name) => [name, read(`${folder}/${name}`) as Workflow] as const);
const action = read(".github/actions/pulumi/action.yml") as {
  inputs: Record<string, unknown>;
  runs: { steps: Step[] };
};

const secret = /\$\{\{[^}]*\b(secrets|inputs\.(access-token|passphrase))\b(?! != '' \}\})/;
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
    const steps = jobs.flatMap((job) => job.steps);
    const given = steps.filter(
      (step) => withSecret({ ...step.env, ...step.with, run: step.run ?? "" }).length,
    );
    expect(given.filter(({ uses }) => uses !== "./.github/actions/pulumi")).toEqual([]);
  });

  test("uses other actions by their commit", () => {
    const others = jobs.flatMap((job) => job.steps.flatMap(({ uses }) => uses ?? []));
    expect(others.filter((uses) => !/^\.\/|@[0-9a-f]{40}$/.test(uses))).toEqual([]);
  });
});

test("`pulumi up` reaches an environment only after it has succeeded in the one before", () => {
  const { jobs } = read(`${folder}/up.yml`) as Workflow;
  expect(Object.values(jobs).map(({ environment, needs }) => [needs, environment])).toEqual([
    [undefined, "dev"],
    ["dev", "staging"],
    ["staging", "prod"],
  ]);
  for (const [name, { environment, steps }] of Object.entries(jobs)) {
    expect([environment, steps.at(-1)!.with!.environment]).toEqual([name, name]);
  }
});

test("the unit tests run on the oldest Node that package.json allows", () => {
  const { engines } = JSON.parse(readFileSync("package.json", "utf8")) as { engines: { node: string } };
  const { jobs } = read(`${folder}/check.yml`) as Workflow;
  const versions = jobs["oldest-node"]!.steps.flatMap((step) => step.with?.["node-version"] ?? []);
  expect(versions.map((version) => `>=${version}`)).toEqual([engines.node]);
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
    ["gomod", "/lab/engine"],
  ]);
});

describe("the action that runs Pulumi", () => {
  const { steps } = action.runs;

  test("passes its secrets only to Pulumi's own step", () => {
    expect(Object.keys(action.inputs)).toEqual(expect.arrayContaining(["access-token", "passphrase"]));
    const given = steps.filter(
      (step) => withSecret({ ...step.env, ...step.with, run: step.run ?? "" }).length,
    );
    expect(given.map(({ uses }) => uses?.split("@")[0])).toEqual(["pulumi/actions"]);
    expect(withSecret(given[0]!.env).sort()).toEqual(["PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE"]);
    expect(withSecret(given[0]!.with)).toEqual([]);
  });

  test("uses other actions by their commit", () => {
    const others = steps.flatMap(({ uses }) => uses ?? []);
    expect(others.filter((uses) => !/@[0-9a-f]{40}$/.test(uses))).toEqual([]);
  });
});

test.each([
  ".github/actions/pulumi/action.yml",
  ...workflows.map(([name]) => `${folder}/${name}`),
  "Makefile",
])("no npm package runs a script of its own when it is installed: %s", (file) => {
  const installs = readFileSync(file, "utf8").match(/\bnpm (ci|i|install|add)\b.*/g) ?? [];
  expect(installs.filter((line) => !line.includes("--ignore-scripts"))).toEqual([]);
});
