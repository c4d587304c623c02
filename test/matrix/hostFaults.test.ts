import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { type Changes, tunnelSettings } from "../lab/support/settings.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { until } from "../lab/support/until.ts";

const dropIn = "/etc/ssh/sshd_config.d/00-ssh-reverse-tunnel-dev.conf";
const unit = "/etc/systemd/system/ssh-tunnel-nas.service";

/** A host that fails in the middle of an up: its state then, and the next up. A story. */
describe("if a host fails in the middle of an up,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  const configure = (changes: Changes = {}) => stack.setConfig(tunnelSettings(lab, gate, nas, changes));

  beforeAll(async () => {
    lab = await Lab.up({ name: "crash2", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(async () => {
    await lab?.down();
  });

  /** Cuts a host's power as soon as an up has created this file there, and switches it on again. */
  const powerCutInUp = async (host: Host, file: string): Promise<string> => {
    const up = failedUp(stack);
    up.catch(() => undefined);
    const isThere = () => host.run(`test -e ${file}`, { allowFailure: true });
    await until(file, 60, async () => (await isThere()).exitCode === 0, 1);
    await host.powerCut();
    await host.boot();
    return up;
  };

  /** The up fails, prints this, and leaves the file and the tunnel; what was broken is repaired whatever happens. */
  const failsWhile = async (breakIt: string, mendIt: string, sentence: RegExp, file: string) => {
    const text = (await nas.run(`cat ${file}`)).stdout;
    await nas.run(breakIt);
    try {
      expect(await failedUp(stack)).toMatch(sentence);
      expect((await nas.run(`cat ${file}`)).stdout).toBe(text);
      await works();
    } finally {
      await nas.run(mendIt);
    }
  };

  const works = () => expect.poll(banner, { timeout: 120_000, interval: 200 }).toBe("through");
  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true })).stdout;
  const mayLogIn = async (host: Host) => (await sshAsUser(lab, host.name, "true")).exitCode === 0;
  const temporary = async (host: Host) =>
    (await host.changesSince(before[host.name]!)).filter((line) => /\.new$|\/\.[^/]+\.ssh-/.test(line));

  /** The next up ends with a working tunnel, as if nothing had happened. */
  const converges = async () => {
    await stack.up();
    await works();
    for (const host of [gate, nas]) expect(await temporary(host)).toEqual([]);
  };

  /** Every script, applied once more, finds everything as it should be. */
  const changesNothing = async () => {
    await stack.setConfig({ revision: `${Date.now()}` });
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
  };

  it("the admin of a public host that lost power while sshd changed can log in, and the next up converges", async () => {
    await powerCutInUp(gate, dropIn);
    expect(await mayLogIn(gate)).toBe(true);
    await gate.run("sshd -t");
    await converges();
    await changesNothing();
  });

  it("a read-only /etc of the internal host is reported, and the tunnel stays up", async () => {
    await configure({ nas: { keepAlive: { restartSec: 2 } } });
    await failsWhile(
      "mount --bind /etc /etc && mount -o remount,bind,ro /etc",
      "umount /etc",
      /error: nas \(.*\): cannot write \/etc\/systemd\/system\/\S+: the file system at \/etc is read-only; make it writable/,
      unit,
    );
    await converges();
    expect((await nas.run(`cat ${unit}`)).stdout).toContain("RestartSec=2");
  });

  it("a full disk where the internal host's units are is reported, and the tunnel stays up", async () => {
    await configure({ nas: { keepAlive: { restartSec: 3 } } });
    const folder = "/etc/systemd/system";
    await failsWhile(
      `cp -a ${folder} /run/units && mount -t tmpfs -o size=256k full ${folder} && cp -a /run/units/. ${folder} && cat /dev/zero >${folder}/filler || :`,
      `umount ${folder} && rm -r /run/units`,
      /error: nas \(.*\): cannot write \/etc\/systemd\/system\/\S+: the disk at \/etc\/systemd\/system is full; make room/,
      unit,
    );
    await converges();
    expect((await nas.run(`cat ${unit}`)).stdout).toContain("RestartSec=3");
  });

  it("a full disk under the admin's own home is reported, and authorized_keys stays the same byte for byte", async () => {
    await configure({
      logins: [
        { from: "root", to: "root" },
        { from: "alice", to: "root" },
      ],
    });
    const folder = "/root/.ssh";
    await failsWhile(
      `cp ${folder}/authorized_keys /run/keys && mount -t tmpfs -o size=4k,mode=700 full ${folder} && cp /run/keys ${folder}/authorized_keys`,
      `umount ${folder} && rm /run/keys`,
      /error: nas \(.*\): cannot write ~root\/\.ssh\/authorized_keys: the disk at \/root\/\.ssh is full; make room/,
      `${folder}/authorized_keys`,
    );
    await converges();
    expect((await gate.run("su - alice -c 'ssh nas hostname'")).stdout).toBe("nas");
  });

  it("an internal host that lost power while its units were written is completed by the next up", async () => {
    await stack.destroy();
    await powerCutInUp(nas, unit);
    await converges();
    await changesNothing();
  });

  it("destroy leaves nothing on either host", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
  });
});
