import { expect } from "vitest";
import type { Recorded, RecordedCommand, Recording } from "../../tools/mocks.ts";

const stackType = "pulumi:pulumi:Stack";

/** What is true of each of our programs. `roots` are the resources that may have no parent. */
export function expectStructure(recording: Recording, roots: string[]): void {
  const { resources, commands } = recording;
  const byUrn = new Map(resources.map((resource) => [resource.urn, resource]));
  const urns = resources.map(({ urn }) => urn);

  expect(repeated(urns)).toEqual([]);
  expect(repeated(commands.map(({ name, address }) => `${name} on ${address}`))).toEqual([]);
  expect(namesOf(resources.filter(({ parent }) => parent === ""))).toEqual([...roots].sort());
  expect(namesOf(resources.filter(({ name, parent }) => !beginsWithNameOf(byUrn.get(parent), name)))).toEqual(
    [],
  );
  expect(resources.map(({ type }) => type).filter((type) => !known.test(type))).toEqual([]);
  for (const command of commands) {
    expectCommandShape(command);
  }
  expectRemovals(commands);
}

const known =
  /^(ssh-reverse-tunnel:index:[A-Z][A-Za-z]+|command:remote:Command|random:index\/random(Id|Integer):Random(Id|Integer)|pulumi:index:Stash|pulumi:pulumi:Stack)$/;

/** Short command lines without our values, and nothing that replaces or needs AcceptEnv on the server. */
function expectCommandShape({ name, inputs, secrets, errorHooks }: Recorded): void {
  const { delete: remove = "none", ...others } = inputs;
  expect(Object.keys(others).sort()).toEqual(
    ["addPreviousOutputInEnv", "connection", "create", "logging", "stdin", "update"].sort(),
  );
  expect(inputs.create).toMatch(/^(sudo -n sh|sh|\/bin\/sh) -s -- apply$/);
  expect(inputs.update).toBe(inputs.create);
  expect(["none", (inputs.create as string).replace(/apply$/, "remove")]).toContain(remove);
  expect(inputs.addPreviousOutputInEnv).toBe(false);
  expect(inputs.logging).toBe("stderr");
  expect(secrets).toContain("connection");
  expect(errorHooks).toEqual([`${name}-advice`]);
  // What an Output prints if it ends up in a string.
  expect(JSON.stringify(inputs)).not.toMatch(
    /Calling \[toString\]|Calling \[toJSON\]|\[object Object\]|undefined/,
  );
}

/**
 * These have nothing to undo: a check, and the tools if nobody could connect to remove them, which the last record
 * removes.
 */
function hasNothingToUndo({ header, parts }: RecordedCommand): boolean {
  return parts.every(({ script }) => script === "hostFacts") || header.UNTIL_LAST === "yes";
}

/** Whatever a host has on record is undone once, by one of its scripts. */
function expectRemovals(commands: RecordedCommand[]): void {
  const at = ({ address }: RecordedCommand, record: string | undefined) => `${record} on ${address}`;
  const records = commands
    .filter((command) => !hasNothingToUndo(command))
    .map((command) => at(command, command.header.RESOURCE));
  const removed = commands
    .filter(({ inputs }) => "delete" in inputs)
    .flatMap((command) =>
      (command.header.RECORDS ?? command.header.RESOURCE!).split(" ").map((record) => at(command, record)),
    );
  expect(removed.sort()).toEqual([...new Set(records)].sort());
}

function beginsWithNameOf(parent: Recorded | undefined, name: string): boolean {
  return !parent || parent.type === stackType || name.startsWith(`${parent.name}-`);
}

function repeated(all: string[]): string[] {
  return all.filter((each, index) => all.indexOf(each) !== index);
}

function namesOf(resources: Recorded[]): string[] {
  return resources.map(({ name }) => name).sort();
}
