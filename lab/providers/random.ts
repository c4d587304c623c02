// The lab's stand-in for the random provider: RandomInteger, which is all that this project uses.
import { randomInt } from "node:crypto";
import { createRequire } from "node:module";
import { type Failure, type ResourceKind, serve } from "./protocol.ts";
import { diff, isUnknown, type Properties, reveal, unknown } from "./values.ts";

const INPUTS = new Set(["keepers", "max", "min", "seed"]);

const randomInteger: ResourceKind = {
  check(inputs) {
    const failures: Failure[] = [];
    for (const property of ["min", "max"]) {
      if (inputs[property] === undefined)
        failures.push({ property, reason: `Missing required property '${property}'` });
    }
    for (const property of Object.keys(inputs)) {
      if (!INPUTS.has(property)) failures.push({ property, reason: `there is no such property` });
    }
    return { inputs, failures };
  },

  // Every input asks for a new number.
  diff(oldInputs, inputs) {
    const changes = diff(oldInputs, inputs);
    return { changes, replaces: [...changes.keys()], terse: true };
  },

  create(inputs, { preview }) {
    if (preview) return Promise.resolve({ id: "", state: { ...inputs, result: unknown } });
    const result = draw(inputs);
    return Promise.resolve({ id: String(result), state: { ...inputs, result } });
  },

  update() {
    return Promise.reject(new Error("a random integer is never updated, only replaced"));
  },

  delete() {
    return Promise.resolve();
  },
};

function draw(inputs: Properties): number {
  const { min, max, seed } = reveal(inputs) as { min: number; max: number; seed?: string };
  if (isUnknown(min) || isUnknown(max)) throw new Error("the range of a random integer is not known");
  if (max < min) {
    throw new Error(
      "Create Random Integer Error: The minimum (minVal) value needs to be smaller than or equal to maximum (maxVal) value.",
    );
  }
  // The official provider's sequence for a seed is Go's own: numbers drawn here would differ from it.
  if (seed !== undefined && seed !== "")
    throw new Error("the lab's stand-in for RandomInteger knows no seed");
  return randomInt(min, max + 1);
}

const { version } = createRequire(import.meta.url)("@pulumi/random/package.json") as { version: string };
await serve({
  name: "random",
  version,
  resources: { "random:index/randomInteger:RandomInteger": randomInteger },
});
