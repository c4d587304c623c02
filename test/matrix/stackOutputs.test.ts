import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readStackOutputs } from "../../components/remote/stackState.ts";
import { parseConfig, readStacks } from "../../components/settings/load.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { smallest } from "../support/settings.ts";

/** With the real engine, and no hosts. */
describe("a stack that reads the outputs of another one", () => {
  let directory: string;
  let manager: LabStack;
  /** Whether its second host cannot be reached. */
  let fails = false;

  const open = (stack: string, program: () => Promise<Record<string, unknown>>) =>
    openStack({
      ...{ project: "outputs", stack, program, directory },
      env: { PULUMI_CONFIG_PASSPHRASE: `that of ${stack}`, PULUMI_CONTINUE_ON_ERROR: "true" },
    });

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "outputs-"));
    manager = await open("public", () => {
      new pulumi.Stash("stash", { input: pulumi.secret("in the state, and in no output") });
      const connection = { host: "127.0.0.1", port: 1, password: "x", dialErrorLimit: 1 };
      const failing = fails ? new command.remote.Command("fails", { connection, create: "true" }) : undefined;
      return Promise.resolve({ publicHosts: { gate: "known", other: failing?.stdout ?? "known" } });
    });
  });

  afterAll(() => rm(directory, { recursive: true }));

  it("needs no passphrase of that one", async () => {
    await manager.up();
    const site = await open("reader", async () => ({ found: await readStackOutputs("public") }));
    const { outputs } = await site.up();
    expect(outputs.found).toEqual({ outputs: { publicHosts: { gate: "known", other: "known" } } });
  });

  it("is told, in a preview too, which host that one does not know since its last run has failed", async () => {
    fails = true;
    await expect(manager.up()).rejects.toThrow();
    const publicHosts = { other: { managedBy: "public" } };
    const settings = { publicHosts, internalHosts: smallest().internalHosts };
    const site = await open("site", async () => {
      parseConfig(settings, () => [], await readStacks(settings, readStackOutputs));
      return {};
    });
    for (const run of [() => site.preview(), () => site.up()]) {
      await expect(run()).rejects.toThrow(
        "it has not got to know 'other', since its last 'pulumi up' failed there; run it again in that stack until it succeeds",
      );
    }
  });
});
