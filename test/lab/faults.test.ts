import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec, until } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { type Changes, tunnelSettings } from "./support/settings.ts";

/**
 * What goes wrong on real hosts. The tests are a story: each breaks something, sees `up` fail with a sentence that names
 * the host, what was found and what to do, and mends it; the next up goes on from there, and at the end there is a
 * tunnel, as if nothing had been.
 */
describe("a fault", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let far: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;
  let unreachable: Promise<string>;

  const configure = (changes: Changes = {}) => stack.setConfig(tunnelSettings(lab, gate, nas, changes));

  /** The up fails, and the user is shown each of these. */
  const fails = async (...sentences: string[]) => {
    const shown = await failedUp(stack);
    for (const sentence of sentences) expect(shown).toContain(sentence);
    return shown;
  };

  const named = (host: Host) => `${host.name} (${host.address})`;
  const banner = () => gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true });

  beforeAll(async () => {
    lab = await Lab.up({ name: "faults", hosts: ["gate", "nas", "far"] });
    [gate, nas, far] = [lab.host("gate"), lab.host("nas"), lab.host("far")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(async () => {
    await unreachable?.catch(() => undefined);
    await Lab.clear("faults");
  });

  describe("on the way to the host", () => {
    it("of a wrong admin key is a refused login, with the command to try it by", async () => {
      const wrong = join(lab.directory, "wrong_key");
      await exec("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", wrong]);
      await configure({ gate: { admin: { hostKey: gate.hostKey, privateKeyFile: wrong } } });
      await fails(
        `${named(gate)} refuses the login of 'root'; check the key or password of admin`,
        `'ssh -p 22 root@${gate.address}'`,
      );
    });

    it("of another host key than was expected is refused, with how to compare it", async () => {
      await configure({ gate: { admin: { hostKey: nas.hostKey, privateKeyFile: lab.adminKeyFile } } });
      await fails(
        `${named(gate)} answers with another host key`,
        "compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey",
      );
    });

    it("of an admin without sudo says what to add to sudoers", async () => {
      const { admin } = labAdmin(lab, gate);
      await configure({ gate: { admin: { ...admin, user: "alice" } } });
      await fails(
        `error: ${named(gate)}: the admin 'alice' may not use sudo without a password; add 'alice ALL=(ALL) NOPASSWD: ALL'`,
      );
      await configure();
    });

    it("of a host without systemd names what runs instead", async () => {
      await gate.run("mv /run/systemd/system /run/systemd/system.away");
      await fails(`error: ${named(gate)}: systemd is not running here (PID 1 is 'systemd')`);
      await gate.run("mv /run/systemd/system.away /run/systemd/system");
    });

    it("of an sshd without permitlisten names both versions", async () => {
      await gate.run("printf '#!/bin/sh\\necho OpenSSH_7.4p1, OpenSSL 1.0.2k >&2\\n' >/usr/local/bin/ssh");
      await gate.run("chmod +x /usr/local/bin/ssh");
      await fails(
        `error: ${named(gate)}: this is OpenSSH 7.4; the public host needs 7.8 or later, which knows permitlisten`,
      );
      await gate.run("rm /usr/local/bin/ssh");
    });

    it("in the host's own sshd configuration is refused before any change", async () => {
      await gate.run("echo 'PermitRootLogin perhaps' >/etc/ssh/sshd_config.d/50-own.conf");
      await fails(
        `error: ${named(gate)}: sshd does not accept its own configuration here: /etc/ssh/sshd_config.d/50-own.conf line 1: `,
        "mend that first",
      );
      await gate.run("rm /etc/ssh/sshd_config.d/50-own.conf");
      expect(await leftovers(gate, before.gate!)).toEqual([]);
    });
  });
});
