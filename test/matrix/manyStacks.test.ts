import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPostgres } from "../../lab/backends/postgres.ts";
import type { BackendServer } from "../../lab/backends/server.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { until } from "../lab/support/until.ts";

/** Ten sites have a stack each, and one more stack manages their public host. Three lab hosts stand in for the sites. */
describe("with the states of all stacks in one PostgreSQL,", () => {
  const names = Array.from({ length: 10 }, (_, index) => `site-${index}`);
  let database: BackendServer;
  let lab: Lab;
  let gate: Host;
  let inside: Host[];
  let before: Snapshot;
  let manager: LabStack;
  let sites: LabStack[];

  beforeAll(async () => {
    database = await startPostgres(console.error);
    lab = await Lab.up({ name: "many-stacks", hosts: ["gate", "nas-0", "nas-1", "nas-2"] });
    gate = lab.host("gate");
    inside = [0, 1, 2].map((index) => lab.host(`nas-${index}`));
    before = await gate.snapshot();
    const open = (stack: string, config: object) =>
      openProgram(lab, { stack, backend: database, config: config as Record<string, unknown> });
    manager = await open("public", { publicHosts: { gate: labAdmin(lab, gate) } });
    const { privateKeyFile } = labAdmin(lab, gate).admin;
    const forwards = { ssh: { remotePort: "auto", target: 22 } };
    sites = await Promise.all(
      names.map((name, index) =>
        open(name, {
          publicHosts: { gate: { managedBy: "public", admin: { privateKeyFile } } },
          internalHosts: {
            [name]: {
              ...labAdmin(lab, inside[index % inside.length]!),
              forwards,
              logins: [{ from: "root", to: "root" }],
              // All at once, on a few CPUs.
              timeoutSec: 120,
            },
          },
        }),
      ),
    );
  });

  afterAll(async () => {
    await Lab.clear("many-stacks");
    await database?.stop();
  });

  const onGate = async (command: string) => (await gate.run(command)).stdout;

  it("ten sites come up at the same time, each on a port of its own, and sshd stays as it was", async () => {
    await manager.up();
    const server = "sshd -T; cat /etc/ssh/sshd_config.d/*; systemctl show -P MainPID ssh";
    const configured = await onGate(server);
    const results = await Promise.all(sites.map((site) => site.up()));
    const ports = results.map(({ outputs }) => JSON.stringify(outputs.endpoints));
    expect(new Set(ports.map((text) => /:(\d+)"/.exec(text)?.[1])).size).toBe(names.length);
    expect(await onGate(server)).toBe(configured);
    for (const [index, name] of names.entries()) {
      await until(`the tunnel ${name}`, 60, async () => {
        const { stdout } = await gate.run(`ssh -o ConnectTimeout=5 ${name} hostname`, { allowFailure: true });
        return stdout === inside[index % inside.length]!.name;
      });
    }
  });

  it("another up of all stacks at the same time changes nothing", async () => {
    const results = await Promise.all([manager, ...sites].map((stack) => stack.up()));
    for (const { changes } of results) expect(Object.keys(changes)).toEqual(["same"]);
  });

  it("the public host's stack is destroyed once the sites' are, and leaves nothing", async () => {
    const stacks = names.map((name) => `ssh-reverse-tunnel-${name}`).join(" ");
    await expect(manager.destroy()).rejects.toThrow(`and would be cut: ${stacks}; sshd stays as it is`);
    await Promise.all(sites.map((site) => site.destroy()));
    await manager.destroy();
    expect(await leftovers(gate, before)).toEqual([]);
  });
});
