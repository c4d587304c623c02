import { describe, expect, test } from "vitest";
import * as components from "../components/index.ts";
import { componentType, record } from "../tools/mocks.ts";
import { samples } from "./support/samples.ts";
import { expectStructure } from "./support/structure.ts";

const make = (type: string) => record(() => samples[type]!.make("x", samples[type]!.args()));

test("the structure of every component is looked at", () => {
  expect(Object.keys(samples).sort()).toEqual(
    Object.keys(components)
      .filter((name) => /^[A-Z]/.test(name)) // the others are functions
      .sort(),
  );
});

describe("every child has a parent and a name that begins with the parent's", () => {
  test.each(Object.keys(samples))("%s", async (type) => {
    const recording = await make(type);
    expectStructure(recording, type === "ReverseTunnel" ? ["gate", "nas", "x"] : ["x"]);
    expect(recording.resources.map((resource) => resource.type)).toContain(componentType(type));
  });
});

describe("the outputs of every component are registered", () => {
  test.each(Object.keys(samples))("%s", async (type) => {
    const recording = await make(type);
    expect(recording.withoutOutputs()).toEqual([]);
  });
});
