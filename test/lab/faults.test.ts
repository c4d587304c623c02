import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { journal } from "./support/journal.ts";
import { leftovers } from "./support/leftovers.ts";
import { remoteScripts } from "./support/remoteScripts.ts";
import { oneIn, sometimes } from "./support/sample.ts";
import { type Changes, tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

const ownSettings = "/etc/ssh/sshd_config.d/50-own.conf";
const dropIn = "/etc/ssh/sshd_config.d/00-ssh-reverse-tunnel-dev.conf";
const rollback = "ssh-reverse-tunnel-dev-sshd-rollback";

/**
 * Failures on real hosts. The tests are a story: each breaks something, sees `up` fail with a sentence that names the
 * host, what was found and what to do, and repairs it. The next up continues from there, and in the end there is a
 * tunnel, as if nothing had happened.
 */
describe("when something fails", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let far: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;
  let unreachable: Promise<string>;

  const configure = (changes: Changes = {}) => stack.setConfig(tunnelSettings(lab, gate, nas, changes));

  /** The up fails, and each of these is shown to the user. */
  const fails = async (...sentences: string[]) => {
    const shown = await failedUp(stack);
    for (const sentence of sentences) expect(shown).toContain(sentence);
    return shown;
  };

  /** Breaks something on a host, and repairs it whatever happens. */
  const broken = async (host: Host, breakIt: string, mendIt: string, act: () => Promise<unknown>) => {
    await host.run(breakIt);
    try {
      await act();
    } finally {
      await host.run(mendIt);
    }
  };

  const named = (host: Host) => `${host.name} (${host.address})`;
  const there = async (host: Host, path: string) =>
    (await host.run(`test -e ${path}`, { allowFailure: true })).exitCode === 0;
  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true })).stdout;
  /** The exit code of the admin's login to gate: 255 if it is refused. */
  const loginCode = async () =>
    (await exec("ssh", ["-F", lab.sshConfigFile, "gate", "true"], { allowFailure: true })).exitCode;

  beforeAll(async () => {
    lab = await Lab.up({ name: "faults", hosts: ["gate", "nas", "far"] });
    [gate, nas, far] = [lab.host("gate"), lab.host("nas"), lab.host("far")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
    // Giving up takes half a minute, during which the other tests continue.
    await far.cutLink();
    const settings = tunnelSettings(lab, far, far, { tunnel: "shop" });
    unreachable = failedUp(await openProgram(lab, { stack: "unreachable", config: settings }));
    unreachable.catch(() => undefined);
  });

  afterAll(async () => {
    await unreachable?.catch(() => undefined);
    await Lab.clear("faults");
  });

  describe("on the way to the host,", () => {
    sometimes.it("a wrong admin key is reported as a refused login, with the command to try it", async () => {
      const wrong = join(lab.directory, "wrong_key");
      await exec("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", wrong]);
      await configure({ gate: { admin: { hostKey: gate.hostKey, privateKeyFile: wrong } } });
      await fails(
        `${named(gate)} refuses the login of 'root'; check the key or password of admin`,
        `'ssh -p 22 root@${gate.address}'`,
      );
      await configure();
    });

    sometimes.it("an unexpected host key is refused, and the error says how to compare it", async () => {
      await configure({ gate: { admin: { hostKey: nas.hostKey, privateKeyFile: lab.adminKeyFile } } });
      await fails(
        `${named(gate)} answers with a host key that differs from the settings or known_hosts`,
        "compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey",
      );
      await configure();
    });

    sometimes.it("an admin without sudo is reported with what to add to sudoers", async () => {
      await configure({ gate: { admin: { ...labAdmin(lab, gate).admin, user: "alice" } } });
      await fails(
        `error: ${named(gate)}: the admin 'alice' may not use sudo without a password; add 'alice ALL=(ALL) NOPASSWD: ALL'`,
      );
      await configure();
    });

    sometimes.it("a host without systemd is reported with what runs instead", async () => {
      await broken(
        gate,
        "mv /run/systemd/system /run/systemd/system.away",
        "mv /run/systemd/system.away /run/systemd/system",
        () => fails(`error: ${named(gate)}: systemd is not running here (PID 1 is 'systemd')`),
      );
    });

    sometimes.it("an sshd without permitlisten is reported with both versions", async () => {
      const old = "printf '#!/bin/sh\\necho OpenSSH_7.4p1, OpenSSL 1.0.2k >&2\\n'";
      await broken(
        gate,
        `${old} >/usr/local/bin/ssh && chmod +x /usr/local/bin/ssh`,
        "rm /usr/local/bin/ssh",
        () =>
          fails(
            `error: ${named(gate)}: this is OpenSSH 7.4; the public host needs 7.8 or later, which knows permitlisten`,
          ),
      );
    });

    it("a mistake in the host's own sshd configuration is reported before any change", async () => {
      await broken(gate, `echo 'PermitRootLogin perhaps' >${ownSettings}`, `rm ${ownSettings}`, () =>
        fails(
          `error: ${named(gate)}: sshd does not accept its own configuration here: ${ownSettings} line 1: `,
          "correct that first",
        ),
      );
      expect(await leftovers(gate, before.gate!)).toEqual([]);
    });
  });

  describe("while the host is changed for the first time,", () => {
    it("a full disk is reported before there is anything that could not be undone", async () => {
      const folder = "/var/lib/ssh-reverse-tunnel";
      await broken(
        gate,
        `mkdir ${folder} && mount -t tmpfs -o size=4k,mode=700 full ${folder} && head -c 4096 /dev/zero >${folder}/filler`,
        `umount ${folder} && rmdir ${folder}`,
        () =>
          fails(
            `error: ${named(gate)}: cannot write ${folder}/ssh-reverse-tunnel-dev/`,
            `the disk at ${folder} is full; make room and run 'pulumi up' again`,
          ),
      );
      expect(await leftovers(gate, before.gate!)).toEqual([]);
    });

    it("a read-only /etc is reported with what could not be written", async () => {
      const readOnly = "the file system at /etc is read-only; make it writable and run 'pulumi up' again";
      await broken(gate, "mount --bind /etc /etc && mount -o remount,bind,ro /etc", "umount /etc", () =>
        fails(
          `error: ${named(gate)}: cannot write /etc/systemd/system/${rollback}-at-boot.service: ${readOnly}`,
        ),
      );
    });

    const settings: [string, string][] = [
      [
        "DenyUsers root",
        "DenyUsers would lock out the admin 'root' at the next reload; take 'root' out of it in",
      ],
      ["AllowUsers alice", "AllowUsers would lock out the admin 'root' at the next reload; add 'root' to it"],
      [
        "AllowGroups alice",
        "AllowGroups would lock out the admin 'root' at the next reload; add a group of 'root'",
      ],
      [
        "DenyGroups root",
        "DenyGroups would lock out the admin 'root' at the next reload; take the groups of 'root'",
      ],
      [
        "PermitRootLogin no",
        "PermitRootLogin no would lock out the admin 'root' at the next reload; change it in",
      ],
    ];

    it.each(oneIn(5, settings, "settings"))(
      "the host's own '%s', not loaded yet, is not made active",
      async (setting, sentence) => {
        await broken(gate, `echo '${setting}' >${ownSettings}`, `rm ${ownSettings}`, async () => {
          await fails(`error: ${named(gate)}: ${sentence}`, ownSettings, "the old configuration is back");
          expect(await there(gate, dropIn)).toBe(false);
          expect(await loginCode()).toBe(0);
        });
      },
    );

    it("an admin who is locked out by the new configuration in spite of all checks gets in again after the host's rollback", async () => {
      // sshd's own configuration does not show it.
      const deny = "/usr/local/sbin/deny-with-drop-in";
      await broken(
        gate,
        `cp -a /etc/pam.d/sshd /root/pam && printf '#!/bin/sh\n! test -e ${dropIn}\n' >${deny} && chmod 755 ${deny} &&
         sed -i '1i account required pam_exec.so quiet ${deny}' /etc/pam.d/sshd`,
        `mv /root/pam /etc/pam.d/sshd; rm ${deny}`,
        async () => {
          const shown = await failedUp(stack);
          expect(shown).toContain("the host rolls it back by itself within a minute");
          expect(await loginCode()).toBe(255);
          await gate.run(`systemctl start ${rollback}.service`); // as its timer does a minute after the change
          await until("the rollback", 20, async () => !(await there(gate, dropIn)));
          await until("sshd to have reloaded", 10, async () => (await loginCode()) === 0);
        },
      );
    });

    it("a change that was rolled back is made again by the next up, whose second login confirms it", async () => {
      await stack.up();
      expect(await there(gate, dropIn)).toBe(true);
      expect(await banner()).toBe("through");
      expect((await gate.run(`systemctl list-units --all '${rollback}*'`)).stdout).toContain(
        "0 loaded units",
      );
    });
  });

  sometimes.describe("next to a tunnel that is up,", () => {
    const ssh = { remotePort: 2222, target: 22 };
    const toRoot = { from: "root", to: "root" };
    const toAlice = { from: "alice", to: "alice", alias: "my-nas" };

    it("a port that another program holds is reported with the program and its pid", async () => {
      await gate.run("systemd-run --quiet --collect --unit squatter python3 -m http.server 2300");
      await until("the squatter", 20, async () => (await gate.run("ss -Hltn sport = :2300")).stdout !== "");
      const pid = (await gate.run("systemctl show -P MainPID squatter")).stdout;
      await configure({ forwards: { ssh, more: { remotePort: 2300, target: 22 } } });
      await fails(
        `error: ${named(gate)}: port 2300 of the forward 'more' is in use by python3 (pid ${pid}) of 'root'; end that, or choose another remotePort`,
      );
      await gate.run("systemctl stop squatter");
    });

    it("a key file that exists already is left as it is", async () => {
      const key = "/root/.ssh/ssh-reverse-tunnel/second.key";
      await configure({ logins: [toRoot, { from: "root", to: "alice", alias: "second" }] });
      await broken(gate, `echo precious >${key}`, `rm ${key}`, async () => {
        await fails(
          `error: ${named(gate)}: ~root/.ssh/ssh-reverse-tunnel/second.key exists already and is not ours; move it away, or choose another name`,
        );
        expect((await gate.run(`cat ${key}`)).stdout).toBe("precious");
      });
    });

    it("a full disk under a home is reported with the file that could not be created", async () => {
      const home = "/home/alice/.ssh";
      await configure({ logins: [toRoot, toAlice] });
      await broken(
        gate,
        `mount -t tmpfs -o size=4k,uid=alice,gid=alice,mode=700 full ${home} && head -c 4096 /dev/zero >${home}/filler`,
        `umount ${home}`,
        () =>
          fails(
            `error: ${named(gate)}: cannot make the key ~alice/.ssh/ssh-reverse-tunnel/my-nas.key: the disk at ${home} is full`,
          ),
      );
    });

    it("a target that does not answer is a warning, and the forward is up", async () => {
      await configure({
        forwards: { ssh, web: { remotePort: 8080, target: 8080 } },
        logins: [toRoot, toAlice],
      });
      expect((await stack.up()).diagnostics.join("\n")).toContain(
        `warning: ${named(gate)}: the forward 'web' closes each connection at once: 127.0.0.1:8080 does not answer`,
      );
      expect((await gate.run("su - alice -c 'ssh my-nas id -un'")).stdout).toBe("alice");
    });

    it("a change of sshd that no login confirms is rolled back, and the next revision repairs it", async () => {
      const change = (await remoteScripts(stack)).find(({ name }) => name === "gate-server-change");
      const stdin = change?.stdin ?? "";
      await gate.run(`rm ${dropIn} && systemctl reload ssh`);
      const { stderr } = await gate.run("sh -s -- apply", { input: stdin });
      expect(stderr).toContain(
        "the old configuration comes back in 60s unless a new login confirms this one",
      );
      expect(await there(gate, dropIn)).toBe(true);
      await gate.run(`systemctl start ${rollback}.service`);
      await until("the rollback", 20, async () => !(await there(gate, dropIn)));
      await until("the host to say so", 10, async () =>
        (await journal(gate, `-u ${rollback}.service`)).includes(
          "no new login confirmed the change to sshd; the old configuration is back",
        ),
      );
      await stack.setConfig({ revision: "2" });
      await stack.up();
      expect(await there(gate, dropIn)).toBe(true);
      expect((await gate.run(`systemctl list-units --all '${rollback}*'`)).stdout).toContain(
        "0 loaded units",
      );
      expect(await banner()).toBe("through");
    });
  });

  sometimes.describe("between two stacks,", () => {
    let office: LabStack;

    const configureOffice = (tunnel: string, remotePort: number) =>
      office.setConfig(
        tunnelSettings(lab, gate, nas, { tunnel, forwards: { ssh: { remotePort, target: 22 } } }),
      );

    beforeAll(async () => {
      office = await openProgram(lab, { stack: "office" });
    });

    it("a duplicate tunnel name is reported with the stack that has it, whose tunnel stays", async () => {
      await configureOffice("nas", 2400);
      const shown = await failedUp(office);
      // Whichever host comes first: the engine then ends the other's scripts.
      expect(shown).toMatch(
        /error: (gate|nas) \(.*\): (the account |\/var\/lib\/)tunnel-nas belongs to the stack ssh-reverse-tunnel-dev; choose another name/,
      );
      expect(await banner()).toBe("through");
    });

    it("an account of that name that is not ours is left as it is", async () => {
      await configureOffice("spare", 2222);
      const read = "getent passwd tunnel-spare";
      await broken(gate, "useradd --shell /bin/bash tunnel-spare", "userdel tunnel-spare", async () => {
        const account = (await gate.run(read)).stdout;
        expect(await failedUp(office)).toContain(
          `error: ${named(gate)}: sshd takes every account 'tunnel-*' for a tunnel's, which AllowUsers allows and whose own keys do not count, but there are others: tunnel-spare; give them other names`,
        );
        expect((await gate.run(read)).stdout).toBe(account);
      });
    });

    it("a port that another tunnel has is reported with that tunnel and its stack", async () => {
      expect(await failedUp(office)).toMatch(
        new RegExp(
          `error: gate \\(.*\\): port 2222 of the forward 'ssh' belongs to another tunnel \\(nas-.* of ssh-reverse-tunnel-dev\\)`,
        ),
      );
    });

    it("a unit of that name that is not ours is left as it is", async () => {
      await configureOffice("spare", 2400);
      const unit = "/etc/systemd/system/ssh-tunnel-spare.service";
      const text = "[Service]\nExecStart=/bin/true";
      await broken(nas, `echo '${text}' >${unit}`, `rm ${unit}`, async () => {
        expect(await failedUp(office)).toMatch(
          new RegExp(
            `error: .* \\(${nas.address}\\): there is a unit ssh-tunnel-spare.service already \\(${unit}\\) that is not ours; rename it`,
          ),
        );
        expect((await nas.run(`cat ${unit}`)).stdout).toBe(text);
      });
    });

    it("two tunnels work side by side once the conflict is removed", async () => {
      await office.up();
      expect((await gate.run("ssh spare hostname")).stdout).toBe("nas");
      expect(await banner()).toBe("through");
      await office.destroy();
      expect(await banner()).toBe("through");
    });
  });

  it("destroy leaves nothing in the end", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
  });

  it("each host that cannot be reached is reported within a minute", async () => {
    const shown = await unreachable;
    expect(shown).toContain(
      `${named(far)} cannot be reached on port 22; check that it is on, that the address and port are right`,
    );
  });
});
