import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findEngine } from "../../lab/engine.ts";
import { PROJECT } from "../../lab/program.ts";
import { openStack } from "../../lab/stack.ts";
import program from "../../index.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPutTheHostKeyOfTheServerHereItIsInPubFile0";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "policies-"));
});

afterEach(() => rm(directory, { recursive: true }));

/** With the lab's program that starts policy packs, and without its language host, which cannot. */
const pathFor = (path: string) =>
  [
    join(project, "lab/providers/bin/policy"),
    ...path.split(delimiter).filter((folder) => folder !== join(project, "lab/providers/bin/nodejs")),
  ].join(delimiter);

/** A preview of a stack with this name, with the policy pack; it connects to no host. */
async function preview(
  stack: string,
  { gate = {}, nas = {}, forward = {}, login = {}, keys = "2026-11", policies = {} },
): Promise<{ failed: boolean; found: string[] }> {
  const engine = await findEngine();
  const { automation } = await openStack({
    project: PROJECT,
    stack,
    directory,
    program: () => Promise.resolve(program()),
    env: { PATH: pathFor(engine.env.PATH!) },
    config: {
      keys,
      publicHosts: { gate: { address: "203.0.113.30", admin: { user: "deploy", hostKey, ...gate } } },
      internalHosts: {
        nas: {
          address: "192.0.2.130",
          admin: { user: "deploy", hostKey, ...nas },
          forwards: { ssh: { remotePort: 2222, target: 22, ...forward } },
          logins: [{ from: "alice", to: "alice", ...login }],
        },
      },
    },
  });
  const settings = join(directory, "policies.json");
  await writeFile(settings, JSON.stringify({ "key-age": { days: 36500 }, ...policies }));
  const events: EngineEvent[] = [];
  const failed = await automation
    .preview({
      policyPacks: [join(project, "policies")],
      policyPackConfigs: [settings],
      onEvent: (event) => events.push(event),
    })
    .then(
      () => false,
      () => true,
    );
  const found = events.flatMap(({ policyEvent }) => policyEvent ?? []);
  return {
    failed,
    found: found.map(({ enforcementLevel, policyName }) => `${enforcementLevel} ${policyName}`),
  };
}

it("lets a stack pass that keeps all rules", async () => {
  expect(await preview("prod", {})).toEqual({ failed: false, found: [] });
});

it("stops a stack that breaks rules, with each of them once", async () => {
  const broken = {
    forward: { listen: "all" },
    login: { to: "root" },
    gate: { hostKey: undefined, acceptAnyHostKey: true },
    nas: { user: "root" },
    policies: { "port-range": { first: 3000, last: 4000 } },
  };
  const { failed, found } = await preview("prod", broken);
  expect(failed).toBe(true);
  expect(found.sort()).toEqual([
    "mandatory known-host-keys",
    "mandatory no-root-admins",
    "mandatory no-root-logins",
    "mandatory port-range",
    "mandatory sources-for-all",
  ]);
});

const root = { nas: { user: "root" }, login: { to: "root" } };

it("allows root in stacks that the rules are not for", async () => {
  expect(await preview("dev", root)).toEqual({ failed: false, found: [] });
});

it("allows root where the rules are switched off, and only warns of old keys", async () => {
  const policies = {
    "no-root-admins": "disabled",
    "no-root-logins": { stacks: "^live-" },
    "key-age": { days: 365 },
  };
  expect(await preview("prod", { ...root, policies, keys: "2020" })).toEqual({
    failed: false,
    found: ["advisory key-age", "advisory key-age"],
  });
});
