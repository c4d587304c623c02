import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { driftOf } from "../../components/remote/drift.ts";
import type { HostLook } from "../../components/remote/look.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";

/** What the real engine makes of the values that a program gets from looks for drift; no hosts. The tests are a story. */
describe("the values for what has drifted", () => {
  let folder: string;
  let stack: LabStack;
  let look: HostLook;
  let values: Record<string, string> | undefined;

  const nothing: HostLook = {
    ...{
      label: "gate (198.18.0.2)",
      notes: [],
      records: ["a", "b.c"],
      drift: {},
      keys: {},
      lacksTools: false,
    },
  };
  const drifted = (record: string, value: string): HostLook => ({
    ...nothing,
    drift: { [record]: { value, findings: [`/etc/${record} is missing`] } },
  });

  class Component extends pulumi.ComponentResource {
    constructor() {
      super("test:index:Component", "gate");
      const drift = driftOf("gate-drift", look, "gate-tools-script", this);
      drift.apply((all) => (values = all));
      // In place of the commands of a record.
      new pulumi.Stash(
        "gate-a",
        { input: drift.apply((all) => `DRIFT=${all["a"] ?? ""}`) },
        { parent: this },
      );
    }
  }

  /** How many resources change, and the values that the program gets. */
  const run = async (how: "preview" | "up", found: HostLook) => {
    look = found;
    values = undefined;
    const { changes, diagnostics } = await stack[how]();
    return { updates: changes.update ?? 0, creates: changes.create ?? 0, values, diagnostics };
  };
  const unchanged = { updates: 0, creates: 0, diagnostics: [] };
  const warning = (words: string) => [`warning: gate: gate (198.18.0.2)${words}`];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "drift-"));
    stack = await openStack({
      ...{ project: "drift", stack: "engine", directory: folder },
      program: () => Promise.resolve(void new Component()),
    });
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("are empty at first, and change nothing while nothing drifts", async () => {
    expect(await run("preview", nothing)).toMatchObject({ values: {}, diagnostics: [] });
    expect(await run("up", nothing)).toMatchObject({ values: {}, diagnostics: [] });
    expect(await run("preview", nothing)).toEqual({ ...unchanged, values: {} });
  });

  test("change with what has drifted, in a preview as well, and what depends on them is an update", async () => {
    const found = {
      updates: 2,
      creates: 0,
      values: { a: "1" },
      diagnostics: warning(": /etc/a is missing (a)"),
    };
    expect(await run("preview", drifted("a", "1"))).toEqual(found);
    expect(await run("preview", nothing)).toEqual({ ...unchanged, values: {} });
    expect(await run("up", drifted("a", "1"))).toEqual(found);
  });

  test("stay what they are once it is repaired, and if something else drifts", async () => {
    expect(await run("preview", nothing)).toEqual({ ...unchanged, values: { a: "1" } });
    expect(await run("up", nothing)).toEqual({ ...unchanged, values: { a: "1" } });
    expect(await run("up", drifted("b.c", "2"))).toMatchObject({
      updates: 1,
      values: { a: "1", "b.c": "2" },
    });
  });

  test("stay what they are if the host does not answer", async () => {
    const lost = { ...nothing, records: [], error: "cannot be reached: no route" };
    expect(await run("up", lost)).toEqual({
      ...unchanged,
      values: { a: "1", "b.c": "2" },
      diagnostics: warning(
        " cannot be reached: no route; its drift is unknown, and what is planned for it stays as it is",
      ),
    });
  });

  test("change again if it drifts once more, beside a record that is new", async () => {
    const again = { ...drifted("a", "3"), records: ["a", "b.c", "new"] };
    expect(await run("up", again)).toMatchObject({ updates: 2, values: { a: "3", "b.c": "2" } });
    expect(await run("preview", { ...nothing, records: again.records })).toEqual({
      ...unchanged,
      values: { a: "3", "b.c": "2" },
    });
  });
});
