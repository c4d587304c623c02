import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveForward } from "../components/forward.ts";
import { HostFacts, KeyPair, RemotePorts } from "../components/index.ts";
import program from "../index.ts";
import { hostile, recordOrError, shapeOf } from "./support/hostile.ts";
import { gate, nas } from "./support/hosts.ts";
import type { Answers } from "../tools/mocks.ts";
import { hostKeysOf, publicKeyOf, record } from "../tools/mocks.ts";
import { setConfig, usual } from "./support/settings.ts";

// A host that is in somebody else's hands answers what it likes. What it answers goes into files of the other host: its
// host keys into known_hosts, its public key into authorized_keys, its ports into units and options.

const seed = Number(process.env.SEED ?? 20260101);
const runs = Number(process.env.RUNS ?? 3);

beforeEach(() => setConfig(usual()));
afterEach(() => setConfig({}));

const run = () => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program()));

const key = publicKeyOf("nas.key", "tunnel-nas@nas");
const hostKeys = hostKeysOf("nas (198.18.0.3)").join("\n");

const refused: [what: string, script: string, answers: string[]][] = [
  [
    "as a public key, anything but one line of type, key and comment",
    "keyPair",
    [
      "",
      `${key}\n`,
      `${key}\n# ${key}`,
      `command="id" ${key}`,
      `restrict,pty ${key}`,
      `# ${key}`,
      ` ${key}`,
      "ssh-ed25519",
      `${key}\r`,
      "ssh-ed25519 AA,pty",
      'ssh-ed25519 A"A',
      "ssh-rsa AAAA",
      "cert-authority ssh-ed25519",
      `Welcome to nas! ${key}`,
    ],
  ],
  [
    "as host keys, anything but lines of type and key",
    "hostFacts",
    [
      "",
      `${hostKeys}\n`,
      `${hostKeys}\n* ssh-ed25519 AAAA`,
      `${hostKeys}\n@cert-authority * ${hostKeys}`,
      "@cert-authority * ssh-ed25519 AAAA",
      `${hostKeys}\n\n${hostKeys}`,
      `root-shell id; sh -s --\n${hostKeys}`,
      `root-shell sudo -n sh -s --; id\n${hostKeys}`,
      `${hostKeys}\nroot-shell sudo -n sh -s --`,
      "root-shell sudo -n sh -s --",
      "ssh-ed25519 AAAA comment",
      "ssh-ed25519 AAAA\rgate ssh-ed25519 BBBB",
      "|1|a|b ssh-ed25519 AAAA",
      "Welcome to nas!",
    ],
  ],
  [
    "as ports, anything but those that were asked for, a line each",
    "remotePorts",
    [
      "",
      "ssh=2222",
      "ssh=2222\nweb=",
      "ssh=2222\nweb=0",
      "ssh=2222\nweb=22",
      "ssh=2222\nweb=NaN",
      "ssh=2222\nweb=0x5000",
      "ssh=2222\nweb=20000.5",
      "ssh=2222\nweb= 20000",
      "ssh=2222\nweb=30000",
      "ssh=2222\nweb=20000=x",
      "ssh=2223\nweb=20000",
      "web=20000\nssh=2222",
      "ssh=2222\nweb=20000\nweb=20001",
      "ssh=2222\nweb=20000\n",
      'ssh=2222\nweb=20000",permitopen="*:*',
    ],
  ],
];

const asked: Record<string, () => unknown> = {
  keyPair: () => new KeyPair("x", { host: nas, account: "tunnel-nas", file: "x.key", comment: "x" }),
  hostFacts: () => new HostFacts("x", { host: nas, needsServer: false }),
  remotePorts: () =>
    new RemotePorts("x", {
      host: gate,
      account: "tunnel-nas",
      forwards: [
        resolveForward("ssh", { remotePort: 2222, target: 22 }),
        resolveForward("web", { remotePort: "auto", target: 80 }),
      ],
    }),
};

describe("of a host's answer is refused,", () => {
  test.each(refused)("%s", async (_what, script, answers) => {
    for (const answer of answers) {
      const outcome = await recordOrError(asked[script]!, { [script]: () => answer });
      expect(outcome, JSON.stringify(answer)).toBeInstanceOf(Error);
      expect((outcome as Error).message, JSON.stringify(answer)).toMatch(
        /(gate|nas) answered .* where .* was expected; if that comes from the admin's own shell, /s,
      );
    }
  });
});

const greeting = "Welcome to nas!\n\n* ssh-ed25519 AAAA\nssh=2300\n";

test("what the admin's login shell prints before an answer is none of it", async () => {
  const answers = (before: string): Answers => ({
    keyPair: () => before + key,
    hostFacts: () => before + hostKeys,
    remotePorts: () => `${before}ssh=2222\nweb=20345`,
  });
  const values = async (before: string) =>
    (await record(run, false, answers(before))).commands.map((command) => command.values);
  expect(await values(greeting)).toEqual(await values(""));
});

/** A key that does not look like one, before the first that does, is a greeting: fewer of them is no other shape. */
const withFewerKeys = (shapes: string[]) =>
  shapes.map((shape) => shape.replace(/"KEYS":\[(\d+)(?:,\1)*\]/g, '"KEYS":[$1]'));

describe("whatever a host answers, it adds no line and no option to a file of the other, with", () => {
  const usualAnswers: Record<string, string> = {
    keyPair: key,
    hostFacts: hostKeys,
    remotePorts: "ssh=2222\nweb=20345",
  };
  test.each(Object.keys(usualAnswers))("%s", { timeout: 30_000 }, async (script) => {
    const shape = withFewerKeys(shapeOf(await record(run, false, { [script]: () => usualAnswers[script] })));
    let passed = 0;
    for (const answer of fc.sample(hostile(usualAnswers[script]!), { seed, numRuns: runs })) {
      const answers: Answers = { [script]: () => answer };
      const outcome = await recordOrError(run, answers);
      if (outcome instanceof Error) {
        expect(outcome.message).toContain(" answered ");
        continue;
      }
      passed += 1;
      expect(withFewerKeys(shapeOf(outcome)), JSON.stringify(answer)).toEqual(shape);
    }
    expect(passed).toBeLessThan(runs);
  });
});
