import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPostgres } from "../../lab/backends/postgres.ts";
import { startS3 } from "../../lab/backends/s3.ts";
import type { BackendServer } from "../../lab/backends/server.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack, StackOptions } from "../../lab/stack.ts";
import { killEngine } from "./support/engineProcess.ts";
import { leftovers } from "./support/leftovers.ts";
import { tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

const LOCKED = "the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or";

describe("stacks whose state is on a server", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let before: Record<string, Snapshot>;
  const servers: Record<string, BackendServer> = {};

  beforeAll(async () => {
    lab = await Lab.up({ name: "backends", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    servers.postgres = await startPostgres(console.error);
    // Where it has not been built yet, this takes minutes.
    servers.s3 = await startS3(console.error);
  }, 2_700_000);

  afterAll(async () => {
    for (const server of Object.values(servers)) await server.stop();
    await Lab.clear("backends");
  });

  /** A stack in its own folder, as on a computer of its own. */
  const open = (computer: string, options: Partial<StackOptions>) =>
    openProgram(lab, { directory: join(lab.directory, "stacks", computer), ...options });
  const through = async () => (await gate.run("ssh nas hostname")).stdout;
  const nothingIsLeft = async () => {
    for (const host of [gate, nas]) expect(await leftovers(host, before[host.name]!)).toEqual([]);
  };
  /** Runs an action while no script can change the internal host: they wait for each other there. */
  const whileScriptsWait = async <T>(act: () => Promise<T>): Promise<T> => {
    await nas.run("systemd-run --quiet --unit holder flock /run/ssh-reverse-tunnel.lock sleep 1000");
    return act().finally(() => nas.run("systemctl stop holder"));
  };
  const scriptWaits = () =>
    until("a script to wait", 60, async () => {
      return (await nas.run("pgrep -f '[f]lock -w'", { allowFailure: true })).exitCode === 0;
    });
  const scriptsEnd = () =>
    until("the scripts to end", 60, async () => {
      return (await nas.run("[ ! -e /run/ssh-reverse-tunnel.lock ]", { allowFailure: true })).exitCode === 0;
    });

  describe.each(["postgres", "s3"])("on %s", (kind) => {
    let stack: LabStack;
    /** The same stack on the computer of somebody else. */
    let other: LabStack;

    it("come up, and neither a preview nor another up changes anything", async () => {
      const backend = servers[kind]!;
      const settings = tunnelSettings(lab, gate, nas);
      stack = await open(`${kind}-mine`, { backend, config: settings });
      other = await open(`${kind}-theirs`, {
        backend,
        stackFile: join(lab.directory, "stacks", `${kind}-mine`, "Pulumi.dev.yaml"),
      });
      await stack.up();
      expect(await through()).toBe("nas");
      for (const each of [stack, other]) {
        expect(Object.keys((await each.preview()).changes)).toEqual(["same"]);
        expect(Object.keys((await each.up()).changes)).toEqual(["same"]);
      }
    });

    it("let one up at a time change anything: the other ends with whose lock it found and what to do", async () => {
      await stack.setConfig({ revision: "2" });
      const { mine, theirs } = await whileScriptsWait(async () => {
        const mine = stack.up();
        await scriptWaits();
        const theirs = await other.up().catch((error: unknown) => error as Error);
        await other.preview(); // needs no lock
        return { mine, theirs };
      });
      const { changes } = await mine;
      expect(changes.update).toBeGreaterThan(0);
      expect(await through()).toBe("nas");
      const { message } = theirs as Error;
      expect(message).toContain(`${LOCKED} delete the lock file with \`pulumi cancel\`.`);
      expect(message).toMatch(/created by root@\S+ \(pid \d+\) at \d{4}-/);
      for (const secret of Object.values(servers[kind]!.env)) expect(message).not.toContain(secret);
    });

    it("stay locked when a run is killed, until pulumi cancel; then the next up completes it", async () => {
      await stack.setConfig({ revision: "3" });
      await whileScriptsWait(async () => {
        const killed = stack.up().catch((error: unknown) => error);
        await scriptWaits();
        await killEngine("dev");
        expect(await killed).toBeInstanceOf(Error);
        await expect(stack.up()).rejects.toThrow(LOCKED);
      });
      // The script that waited on the host goes on by itself.
      await stack.automation.cancel();
      const { changes, diagnostics } = await stack.up();
      expect(changes.update).toBeGreaterThan(0);
      expect(diagnostics).toEqual([
        expect.stringMatching(/^warning: .* \d+ pending operations .*while updating/s),
      ]);
      await scriptsEnd();
      const next = await stack.up();
      expect([Object.keys(next.changes), next.diagnostics]).toEqual([["same"], []]);
      expect(await through()).toBe("nas");
    });

    it("are destroyed without a trace", async () => {
      await stack.destroy();
      await nothingIsLeft();
      await stack.remove();
    });
  });

  it("move from files to PostgreSQL, to S3 and back, and nothing is to be changed on any host", async () => {
    const idOn = async (host: Host) =>
      (await host.run("cat /var/lib/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/.stack-id")).stdout;
    const admin = ({ hostKey }: Host) => ({ admin: { hostKey } });
    const key = await readFile(lab.adminKeyFile, "utf8");
    const config = tunnelSettings(lab, gate, nas, { gate: admin(gate), nas: admin(nas) });
    let stack = await open("moving", { config });
    for (const host of ["publicHosts.gate", "internalHosts.nas"]) {
      await stack.setSecret(`${host}.admin.privateKey`, key, true);
    }
    await stack.up();
    const id = await idOn(gate);
    const files = undefined;
    for (const backend of [servers.postgres, servers.s3, files]) {
      const old = stack;
      const state = await old.export();
      expect(JSON.stringify(state)).not.toContain("PRIVATE KEY");
      stack = await open("moving", backend ? { backend } : {});
      await stack.automation.importStack(state);
      expect(Object.keys((await stack.preview()).changes)).toEqual(["same"]);
      await old.automation.workspace.removeStack("dev", { force: true, preserveConfig: true });
      expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
    }
    await stack.setConfig({ revision: "2" });
    await stack.up();
    expect([await idOn(gate), await idOn(nas)]).toEqual([id, id]);
    expect(await through()).toBe("nas");
    await stack.destroy();
    await nothingIsLeft();
  });
});
