import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { componentType, record } from "../tools/mocks.ts";
import { samples } from "./support/samples.ts";
import { expectStructure } from "./support/structure.ts";

const make = (type: string) => record(() => samples[type]!.make("x", samples[type]!.args()));

const folder = new URL("../components/", import.meta.url);

test("the structure of every component is tested", () => {
  const classes = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => readFileSync(new URL(file, folder), "utf8"))
    .flatMap((text) => [...text.matchAll(/^export class (\w+) extends (RemoteComponent|pulumi\.Comp)/gm)])
    .map(([, name]) => name!);
  expect(Object.keys(samples).sort()).toEqual(classes.sort());
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
