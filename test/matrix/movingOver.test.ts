import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { type Part, tunnelSettings } from "../lab/support/settings.ts";
import { until } from "../lab/support/until.ts";

/** A tunnel that was set up by hand, or with autossh, and how to move over from it. */
describe("a port that another tunnel holds", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;

  const configure = (remotePort: number, changes: Part = {}) =>
    stack.setConfig(
      tunnelSettings(lab, gate, nas, { forwards: { ssh: { remotePort, target: 22 } }, nas: changes }),
    );
  const text = async (host: Host, command: string) =>
    (await host.run(command, { allowFailure: true })).stdout;
  const listens = () => text(gate, "ss -Hltn 'sport = :2222'");
  const options =
    "-o StrictHostKeyChecking=accept-new -o ExitOnForwardFailure=yes -N -R 127.0.0.1:2222:127.0.0.1:22";
  /** Starts it on the internal host; it logs in as alice. */
  const open = async (program: string) => {
    await nas.run(`systemd-run --quiet --collect --unit theirs ${program} ${options} alice@${gate.address}`);
    await until("their tunnel", 30, async () => (await listens()) !== "");
  };
  const close = async () => {
    await nas.run("systemctl stop theirs");
    await until("their tunnel to end", 30, async () => (await listens()) === "");
  };
  const held = () =>
    new RegExp(
      `port 2222 of the forward 'ssh' is held by a tunnel that 'alice' has opened with ssh from ${nas.address.replaceAll(".", "\\.")} \\(sshd(-session)?, pid \\d+\\)`,
    );

  beforeAll(async () => {
    lab = await Lab.up({ name: "movingover", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await nas.run("ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519");
    await gate.run("cat >>~alice/.ssh/authorized_keys", {
      input: `${(await nas.run("cat /root/.ssh/id_ed25519.pub")).stdout}\n`,
    });
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(() => Lab.clear("movingover"));

  it("is refused with the account and the address of an ssh -R made by hand, which stays as it is", async () => {
    await open("ssh");
    await configure(2222);
    const shown = await failedUp(stack);
    expect(shown).toMatch(held());
    expect(shown).toContain("if that is your way to its host, choose another remotePort first");
    expect(await listens()).not.toBe("");
  });

  it("is left alone by an up that comes through it, which says so; the tunnel moves over by way of another port", async () => {
    const bastion = { address: gate.address, ...labAdmin(lab, gate).admin };
    const byHand = { address: "127.0.0.1", admin: { ...labAdmin(lab, nas).admin, port: 2222, bastion } };
    await configure(2222, byHand);
    expect(await failedUp(stack)).toContain("and Pulumi itself reaches nas through it; leave that as it is");
    await configure(2230, byHand);
    await stack.up();
    expect(await text(gate, "ssh nas echo through")).toBe("through");
    await configure(2230, { admin: { ...labAdmin(lab, nas).admin, throughTunnel: "ssh" } });
    await stack.up();
    await close();
    expect(await text(gate, "ssh nas echo through")).toBe("through");
    await configure(2230);
    await stack.up();
    await configure(2222);
    await stack.up();
    expect(await text(gate, "ssh nas echo through")).toBe("through");
    await stack.destroy();
  });

  it("is refused with the same words if it is autossh that holds it", async ({ skip }) => {
    const folder = mkdtempSync(join(tmpdir(), "autossh-"));
    const got = await exec(
      "sh",
      [
        "-c",
        `cd ${folder} && apt-get -o APT::Sandbox::User=root -q download autossh && dpkg-deb -x autossh_*.deb .`,
      ],
      { allowFailure: true, timeoutSeconds: 120 },
    );
    skip(got.exitCode !== 0 || !readdirSync(folder).includes("usr"), "there is no autossh to download here");
    const program = readFileSync(join(folder, "usr/lib/autossh/autossh")).toString("base64");
    rmSync(folder, { recursive: true });
    await nas.run("base64 -d >/root/autossh && chmod 755 /root/autossh", { input: program });
    await open("/root/autossh -M 0");
    await configure(2222);
    expect(await failedUp(stack)).toMatch(held());
    await close();
    await stack.destroy();
  });
});
