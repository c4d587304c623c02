import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hostile, type Leaf, leavesOf, recordOrError, shapeOf, withLeaf } from "./support/hostile.ts";
import type { Recording } from "../tools/mocks.ts";
import { record } from "../tools/mocks.ts";
import { partSamples, samples } from "./support/samples.ts";

// Users of the library bypass the check of the settings. So each text among their arguments must be refused, or appear
// in its place and add nothing else.

// Set SEED and RUNS in the environment for a longer search by hand.
const seed = Number(process.env.SEED ?? 20260101);
const runs = Number(process.env.RUNS ?? 6);

/** Text that is passed unchanged to the provider, or that is only for people, or for the order of the commands. */
const elsewhere = ["connection", "ways", "look"];

const all = { ...samples, ...partSamples };

const texts = (args: object): Leaf[] =>
  leavesOf(args).filter(({ path }) => !path.some((key) => elsewhere.includes(String(key))));

const build =
  (type: string, change: (args: object) => object = (args) => args) =>
  () =>
    all[type]!.make("x", change(all[type]!.args()));

/** Every text that the hosts get, and every text that names a resource. */
const said = ({ commands, resources }: Recording) =>
  [
    ...commands
      .flatMap(({ header, parts }) => [header, ...parts.map(({ values }) => values)])
      .flatMap(Object.values<string>),
    ...resources.map(({ name }) => name),
  ].join("\0");

/** Our own messages, and not those of something that crashed. */
const refusal =
  /must (be|not)|is not a valid (name|target|protocol|probe|alias|remote port|listen address)|has no forward|no such file|NUL/;

describe("hostile text is refused, or adds nothing but itself, in the arguments of", () => {
  test.each(Object.keys(all))("%s", { timeout: 300_000 }, async (type) => {
    const usual = await record(build(type));
    const leaves: Leaf[] = [];
    await record(() => void leaves.push(...texts(all[type]!.args())));
    let refused = 0;
    for (const { path, text: usualText } of leaves) {
      const place = [type, ...path].join(".");
      for (const value of fc.sample(hostile(usualText), {
        seed,
        numRuns: Math.ceil(runs / usual.commands.length),
      })) {
        const outcome = await recordOrError(build(type, (args) => withLeaf(args, path, value)));
        const where = `${place} = ${JSON.stringify(value.slice(0, 80))}`;
        if (outcome instanceof Error) {
          expect(outcome.message, where).toMatch(refusal);
          refused += 1;
          continue;
        }
        expect(shapeOf(outcome), where).toEqual(shapeOf(usual));
        // The comment after a key is ours.
        const text = path.at(-1) === "publicKey" ? value.trim().split(/\s+/, 2).join(" ") : value.trimEnd();
        const isThere = said(outcome).includes(text) || handedOn.test(place);
        expect(isThere, `${where} is there`).toBe(true);
      }
    }
    expect(refused > 0 || freeTexts.includes(type), "something was refused").toBe(true);
  });
});

/** Those whose only texts are for people. */
const freeTexts = ["HostFacts", "InternalHost"];
/** What these provide for others, or write in another form. */
const handedOn =
  /^(PublicHost\.(address|sshPort|textfileDirectory|permit(Listen|Open)\.0|portRange\.(first|last))|InternalHost\.(trialSec|tunnel)|(healthCheck|tunnelService)\.host\.name|authorizedKey\.(name|otherNames)|ReverseTunnel\.(proxy\.(url|user|password)|(logins\.0\.)?keys)|tunnelService\.via\.proxy\.(user|password))$/;
