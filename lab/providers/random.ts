// The lab's stand-in for the random provider: only RandomInteger and RandomId, which are all that this project uses.
import { randomBytes, randomInt } from "node:crypto";
import { createRequire } from "node:module";
import { type ResourceKind, serve } from "./protocol.ts";
import { diff, isUnknown, type Properties, reveal, unknown } from "./values.ts";

/** A value that is drawn once, and again whenever an input changes. */
interface Lot {
  required: string[];
  optional: string[];
  /** Names of what `draw` returns besides the id. */
  outputs: string[];
  draw: (inputs: Properties) => { id: string } & Properties;
}

function kindOf({ required, optional, outputs, draw }: Lot): ResourceKind {
  return {
    check(inputs) {
      const missing = required.filter((property) => inputs[property] === undefined);
      const odd = Object.keys(inputs).filter((property) => ![...required, ...optional].includes(property));
      const failures = [
        ...missing.map((property) => ({ property, reason: `Missing required property '${property}'` })),
        ...odd.map((property) => ({ property, reason: `there is no such property` })),
      ];
      return { inputs, failures };
    },

    // Every changed input requires a new value.
    diff(oldInputs, inputs) {
      const changes = diff(oldInputs, inputs);
      return { changes, replaces: [...changes.keys()], terse: true };
    },

    create(inputs, { preview }) {
      if (preview) {
        const unknowns = Object.fromEntries(outputs.map((name) => [name, unknown]));
        return Promise.resolve({ id: "", state: { ...inputs, ...unknowns } });
      }
      const { id, ...drawn } = draw(reveal(inputs) as Properties);
      return Promise.resolve({ id, state: { ...inputs, ...drawn } });
    },

    update() {
      return Promise.reject(new Error("what is random is never updated, only replaced"));
    },

    delete() {
      return Promise.resolve();
    },
  };
}

const randomInteger = kindOf({
  required: ["min", "max"],
  optional: ["keepers", "seed"],
  outputs: ["result"],
  draw(inputs) {
    const { min, max, seed } = inputs as { min: number; max: number; seed?: string };
    if (isUnknown(min) || isUnknown(max)) throw new Error("the range of a random integer is not known");
    if (max < min) {
      throw new Error(
        "Create Random Integer Error: The minimum (minVal) value needs to be smaller than or equal to maximum (maxVal) value.",
      );
    }
    // The official provider uses Go's own sequence for a seed: numbers drawn here would differ from it.
    if (seed !== undefined && seed !== "")
      throw new Error("the lab's stand-in for RandomInteger knows no seed");
    const result = randomInt(min, max + 1);
    return { id: String(result), result };
  },
});

const randomId = kindOf({
  required: ["byteLength"],
  optional: ["keepers", "prefix"],
  outputs: ["b64Std", "b64Url", "dec", "hex"],
  draw(inputs) {
    const { byteLength, prefix = "" } = inputs as { byteLength: number; prefix?: string };
    if (isUnknown(byteLength)) throw new Error("the length of a random id is not known");
    const bytes = randomBytes(byteLength);
    const hex = bytes.toString("hex");
    return {
      id: bytes.toString("base64url"),
      b64Std: prefix + bytes.toString("base64"),
      b64Url: prefix + bytes.toString("base64url"),
      dec: prefix + BigInt(`0x0${hex}`).toString(),
      hex: prefix + hex,
    };
  },
});

const { version } = createRequire(import.meta.url)("@pulumi/random/package.json") as { version: string };
await serve({
  name: "random",
  version,
  resources: {
    "random:index/randomInteger:RandomInteger": randomInteger,
    "random:index/randomId:RandomId": randomId,
  },
});
