import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { tunnelSettings } from "../lab/support/settings.ts";

/** Two people who chose the same stack name. The tests are a story: each continues from the one before. */
describe("two Pulumi states with a stack of the same name, for the same hosts", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let first: LabStack;
  let second: LabStack;
  let before: Record<string, Snapshot>;
  const idFile = "/var/lib/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/.stack-id";
  const belongs =
    "the things of the stack ssh-reverse-tunnel-dev on this host belong to another Pulumi state";

  beforeAll(async () => {
    lab = await Lab.up({ name: "stackid", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    first = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
    const forwards = { ssh: { remotePort: 2300, target: 22 } };
    second = await openProgram(lab, {
      directory: join(lab.directory, "stacks", "second"),
      config: tunnelSettings(lab, gate, nas, { forwards }),
    });
  });

  afterAll(() => Lab.clear("stackid"));

  const through = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas hostname", { allowFailure: true })).stdout;
  const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const ids = async () =>
    Promise.all([gate, nas].map(async (host) => (await host.run(`cat ${idFile}`)).stdout));

  it("keep the second one from changing anything, and say why on each host", async () => {
    await first.up();
    const [onGate, onNas] = await ids();
    expect(onGate).toMatch(/^[0-9a-f]{16}$/);
    expect(onNas).toBe(onGate);
    const running = await pid();
    const now = [await gate.snapshot(), await nas.snapshot()] as const;

    const said = await failedUp(second);
    for (const host of [gate, nas]) {
      expect(said).toContain(
        `error: ${host.name} (${host.address}): ${belongs}, and nothing was changed; choose another stack name, or, if that state is lost for good, remove ${idFile} on the host and run 'pulumi up' again, which takes them over`,
      );
    }
    await second.destroy();
    expect(await leftovers(gate, now[0])).toEqual([]);
    expect(await leftovers(nas, now[1])).toEqual([]);
    expect(await pid()).toBe(running);
    expect(await through()).toBe("nas");
  });

  it("let the second one take over after the id is removed, and it changes only what its settings require", async () => {
    for (const host of [gate, nas]) await host.run(`rm ${idFile}`);
    const running = await pid();
    await second.setConfig(tunnelSettings(lab, gate, nas));
    await second.up();
    expect(await through()).toBe("nas");
    expect(await pid()).toBe(running);
    const [onGate, onNas] = await ids();
    expect(onGate).toMatch(/^[0-9a-f]{16}$/);
    expect(onNas).toBe(onGate);
  });

  it("then keep the first one from changing or removing what belongs to the second", async () => {
    await first.setConfig({ revision: "2" });
    expect(await failedUp(first)).toContain(`${belongs}, and nothing was changed`);
    await expect(first.destroy()).rejects.toThrow(
      `${belongs}, and nothing was removed; 'pulumi stack rm --force' makes this state forget them`,
    );
    expect(await through()).toBe("nas");
  });

  it("leave nothing once the second one is destroyed", async () => {
    await second.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
  });
});
