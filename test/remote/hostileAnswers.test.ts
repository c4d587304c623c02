import * as pulumi from "@pulumi/pulumi";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { resolveForward } from "../../components/settings/forward.ts";
import { HostFacts } from "../../components/parts/hostFacts/hostFacts.ts";
import { keyPair, publicKeyFrom } from "../../components/parts/keyPair/keyPair.ts";
import { portsFrom, remotePorts } from "../../components/parts/remotePorts/remotePorts.ts";
import program from "../../index.ts";
import { hostile, recordOrError, shapeOf } from "../support/hostile.ts";
import { gate, nas } from "../support/hosts.ts";
import { onePart } from "../support/onePart.ts";
import { promiseOf } from "../support/promiseOf.ts";
import type { Answers } from "../../tools/mocks.ts";
import { hostKeysOf, publicKeyOf, record } from "../../tools/mocks.ts";
import { setConfig, usual } from "../support/settings.ts";

// A compromised host can print anything. Its answers go into files of the other host: its host keys into known_hosts,
// its public key into authorized_keys, its ports into units and options.

const seed = Number(process.env.SEED ?? 20260101);
const runs = Number(process.env.RUNS ?? 3);

beforeEach(() => setConfig(usual()));
afterEach(() => setConfig({}));

const run = () => pulumi.runtime.runInPulumiStack(() => Promise.resolve(program()));

const key = publicKeyOf("nas.key", "tunnel-nas@nas");
const keyLine = `key tunnel-nas/nas.key ${key}`;
const keyAnd = (text: string) => `key tunnel-nas/nas.key ${text}`;
const hostKeys = hostKeysOf("nas (198.18.0.3)").join("\n");

const web = (text: string) => `port web ${text}`;

const refused: [what: string, script: string, answers: string[]][] = [
  [
    "as a public key, anything but a line with owner, type, key and comment",
    "keyPair",
    [
      "",
      key,
      ` ${keyLine}`,
      `Welcome to nas! ${keyLine}`,
      `key alice/nas.key ${key}`,
      `key tunnel-nas/other.key ${key}`,
      `${keyLine}\n${keyAnd("")}`,
      ...["", "ssh-ed25519", `${key}\r`, "ssh-ed25519 AA,pty", 'ssh-ed25519 A"A'].map(keyAnd),
      ...[`command="id" ${key}`, `restrict,pty ${key}`, `# ${key}`, ` ${key}`].map(keyAnd),
      ...["ssh-rsa AAAA", "cert-authority ssh-ed25519"].map(keyAnd),
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
    "as a port for auto, anything but one of the range after the name of its forward",
    "remotePorts",
    [
      "",
      "port ssh 2222",
      "web 20000",
      " port web 20000",
      "Welcome to gate! port web 20000",
      "port webs 20000",
      "port web 20000\nport web 30000",
      ...["", "0", "22", "30000", "NaN", "0x5000", "20000.5", " 20000", "020000", "2e4", "20000\r"].map(web),
      ...["20000 x", "20000 20001", '20000",permitopen="*:*'].map(web),
    ],
  ],
];

const portRange = { first: 20000, last: 29999 };
const asked: Record<string, () => unknown> = {
  keyPair: () => {
    const args = { account: "tunnel-nas", file: "nas.key", comment: "x" };
    return promiseOf(publicKeyFrom(nas, onePart("x", nas, keyPair(args)).stdout, args));
  },
  hostFacts: () => new HostFacts("x", { host: nas, needsServer: false }),
  remotePorts: () => {
    const forwards = [
      resolveForward("ssh", { remotePort: 2222, target: 22 }),
      resolveForward("web", { remotePort: "auto", target: 80 }),
    ];
    const starts = { web: pulumi.output(20000) };
    const part = remotePorts({ account: "tunnel-nas", forwards, starts, portRange });
    const ports = portsFrom(gate, onePart("x", gate, part).stdout, { forwards, portRange, starts });
    return Promise.all(ports.map(promiseOf));
  },
};

describe("a host's answer is refused if it contains,", () => {
  test.each(refused)("%s", async (_what, script, answers) => {
    for (const answer of answers) {
      const outcome = await recordOrError(asked[script]!, { [script]: () => answer });
      expect(outcome, JSON.stringify(answer)).toBeInstanceOf(Error);
      expect((outcome as Error).message, JSON.stringify(answer)).toMatch(
        /(gate|nas) answered .* instead of .*; if that comes from the admin's login shell, /s,
      );
    }
  });
});

const greeting = `Welcome to nas!\n\n* ssh-ed25519 AAAA\nport web 20001\n${keyAnd("ssh-ed25519 AAAA")}\n`;

/** The keys of the tunnel and of the login back, which two hosts print. */
const keys = `${keyLine}\nkey root/nas.key ${key}`;
const usualAnswers: Record<string, string> = {
  keyPair: keys,
  hostFacts: hostKeys,
  remotePorts: "port ssh 2222\nport web 20345",
};

test("what the admin's login shell prints before an answer is not part of it", async () => {
  const texts = async (before: string) => {
    const answers = Object.entries(usualAnswers).map(([script, answer]) => [script, () => before + answer]);
    const { commands } = await record(run, false, Object.fromEntries(answers) as Answers);
    return commands.map(({ inputs }) => inputs.stdin);
  };
  expect(await texts(greeting)).toEqual(await texts(""));
});

/** Text before the first valid key is a greeting, so fewer keys are not a different structure. */
const withFewerKeys = (shapes: string[]) =>
  shapes.map((shape) => shape.replace(/"KEYS":\[(\d+)(?:,\1)*\]/g, '"KEYS":[$1]'));

describe("no answer of a host can add a line or an option to a file on the other host, with", () => {
  test.each(Object.keys(usualAnswers))("%s", { timeout: 300_000 }, async (script) => {
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
