import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { journal } from "./support/journal.ts";
import { healthCheckOf } from "./support/settings.ts";
import { leftovers } from "./support/leftovers.ts";
import { sometimes } from "./support/sample.ts";
import { remoteScripts } from "./support/remoteScripts.ts";

/**
 * The life of one tunnel, from the first up to destroy, on hosts that already have their own configuration. The tests
 * are a story: each continues from the one before.
 */
describe("one tunnel from the first up to destroy", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  /** Settings of two hosts and a tunnel, with a test's changes. */
  const settings = (internal: Record<string, unknown> = {}) => ({
    publicHosts: { gate: { ...labAdmin(lab, gate), allowUsers: ["root", "admin", "alice"] } },
    internalHosts: {
      nas: {
        ...labAdmin(lab, nas),
        forwards: {
          ssh: { remotePort: 2222, target: "127.0.0.1:22" },
          web: { remotePort: "auto", target: 8080, listen: "all" },
          v6: { remotePort: 2224, target: 22, listen: "::1" },
        },
        logins: [
          { from: "root", to: "root" },
          { from: "alice", to: "alice", alias: "my-nas" },
        ],
        ...internal,
      },
    },
  });

  beforeAll(async () => {
    lab = await Lab.up({ name: "lifecycle", hosts: ["gate", "nas"] });
    gate = lab.host("gate");
    nas = lab.host("nas");
    for (const host of [gate, nas]) await host.run(aLifeOfItsOwn);
    await nas.run("mkdir -p /srv/www && echo hello from nas >/srv/www/index.html");
    await nas.run(
      "printf '[Service]\\nExecStart=/bin/busybox httpd -f -p 127.0.0.1:8080 -h /srv/www\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/www.service && systemctl enable --quiet --now www",
    );
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: settings() });
  });

  afterAll(async () => {
    await lab?.down();
  });

  /** How many logins over SSH a host has had. */
  const logins = async (host: Host) => ((await journal(host)).match(/^Accepted /gm) ?? []).length;
  const tunnelPid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true })).stdout;
  const comesBack = () => expect.poll(banner, { timeout: 120_000, interval: 200 }).toBe("through");

  it("is created completely by the first up, which ends when the tunnel works", async () => {
    const result = await stack.up();
    expect(result.changes).toEqual({ create: expect.any(Number) as number });
    expect(result.outputs).toMatchObject({
      endpoints: { nas: { ssh: { endpoint: "127.0.0.1:2222", target: "127.0.0.1:22" } } },
      logins: {
        nas: [
          { on: "gate", as: "root", command: "ssh nas" },
          { on: "gate", as: "alice", command: "ssh my-nas" },
        ],
      },
      units: {
        nas: {
          gate: [`${healthCheckOf()}.timer`],
          nas: ["ssh-tunnel-nas.service", "ssh-tunnel-nas-watchdog.timer"],
        },
      },
    });
    expect(await banner()).toBe("through");
  });

  it("carries logins to the internal host by name and without a password, for each account that may log in", async () => {
    expect((await gate.run("ssh nas 'hostname; id -un'")).stdout).toBe("nas\nroot");
    expect((await gate.run("su - alice -c \"ssh my-nas 'hostname; id -un'\"")).stdout).toBe("nas\nalice");
  });

  it("carries bytes unchanged in both directions", async () => {
    await gate.run("head -c 3000000 /dev/urandom >/tmp/there");
    await gate.run("ssh nas 'cat >/tmp/there; cat /tmp/there' </tmp/there >/tmp/back");
    const sum = async (host: Host, file: string) => (await host.run(`sha256sum <${file}`)).stdout;
    expect(await sum(nas, "/tmp/there")).toBe(await sum(gate, "/tmp/there"));
    expect(await sum(gate, "/tmp/back")).toBe(await sum(gate, "/tmp/there"));
  });

  it("has a forward open to all that is reachable from outside on the chosen port", async () => {
    const { endpoints } = (await stack.up()).outputs as { endpoints: { nas: { web: { endpoint: string } } } };
    expect(endpoints.nas.web.endpoint).toMatch(new RegExp(`^${gate.address}:2[0-9]{4}$`));
    const page = await fetch(`http://${endpoints.nas.web.endpoint}/`);
    expect(await page.text()).toBe("hello from nas\n");
  });

  it("does not change in a second up, which does not even log in", async () => {
    const [onGate, onNas] = [await logins(gate), await logins(nas)];
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["same"]);
    expect([await logins(gate), await logins(nas)]).toEqual([onGate, onNas]);
  });

  it("has scripts that report 'unchanged' and restart nothing when applied again by hand", async () => {
    const pid = await tunnelPid();
    const sshd = (await gate.run("systemctl show -P ActiveEnterTimestampMonotonic -P ExecReload ssh")).stdout;
    const scripts = await remoteScripts(stack);
    expect(scripts.length).toBeGreaterThan(10);
    for (const { name, host, stdin } of scripts) {
      const { stderr } = await lab.host(host).run("sh -s -- apply", { input: stdin });
      expect(stderr, name).toMatch(/^unchanged: /m);
      expect(stderr, name).not.toMatch(/^(changed|error): /m);
    }
    expect(await tunnelPid()).toBe(pid);
    expect((await gate.run("systemctl show -P ActiveEnterTimestampMonotonic -P ExecReload ssh")).stdout).toBe(
      sshd,
    );
  });

  it("changes only the watchdog's units, without a restart, when only its interval changes", async () => {
    const pid = await tunnelPid();
    await stack.setConfig(settings({ watchdogIntervalSec: 20 }));
    const { changes } = await stack.up();
    // The change, the check after it, and what is left to sweep.
    expect(changes.update).toBe(3);
    expect(changes.create ?? 0).toBe(0);
    expect((await nas.run("systemctl cat ssh-tunnel-nas-watchdog.timer")).stdout).toContain(
      "OnUnitActiveSec=20",
    );
    expect(await tunnelPid()).toBe(pid);
  });

  sometimes.it("restarts for a new forward, and loses the forward with its setting", async () => {
    const withMore = settings();
    const more = { remotePort: 2223, target: 22 };
    await stack.setConfig({
      ...withMore,
      internalHosts: {
        nas: { ...withMore.internalHosts.nas, forwards: { ...withMore.internalHosts.nas.forwards, more } },
      },
    });
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2223'")).stdout).toContain("127.0.0.1:2223");
    await stack.setConfig(settings());
    await stack.up();
    expect((await gate.run("ss -Hltn 'sport = :2223'")).stdout).toBe("");
    expect((await gate.run("cat /etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys")).stdout).not.toContain("2223");
  });

  it("is repaired after manual changes when the revision changes", async () => {
    await nas.run("rm /etc/systemd/system/ssh-tunnel-nas.service; systemctl daemon-reload");
    await gate.run("rm /root/.ssh/ssh-reverse-tunnel/nas.conf");
    await stack.setConfig({ ...settings(), revision: "2" });
    await stack.up();
    expect(await banner()).toBe("through");
    expect((await nas.run("systemctl is-enabled ssh-tunnel-nas")).stdout).toBe("enabled");
  });

  it("comes back by itself after a reboot of the public host", async () => {
    await gate.reboot();
    await comesBack();
  });

  it("comes back by itself after a reboot of the internal host", async () => {
    await nas.reboot();
    await comesBack();
  });

  it("comes back by itself after a power cut of the internal host, though sshd still holds the dead session", async () => {
    await nas.powerCut();
    expect((await gate.run("ss -Hltn 'sport = :2222'")).stdout).toContain("127.0.0.1:2222");
    await nas.boot();
    await comesBack();
  });

  it("comes back by itself when a cut link is restored", async () => {
    const pid = await tunnelPid();
    await nas.cutLink();
    await expect.poll(tunnelPid, { timeout: 120_000 }).not.toBe(pid); // ssh has noticed
    await nas.restoreLink();
    await comesBack();
  });

  it("is reported in the public host's journal when a forward goes down and when it is up again", async () => {
    const said = async () => {
      await gate.run(`systemctl start ${healthCheckOf()}`);
      return journal(gate, `-u ${healthCheckOf()}`);
    };
    await nas.run("systemctl stop ssh-tunnel-nas");
    // If the timer ran a moment ago, it checks once more.
    await expect.poll(said).toContain("tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down");
    await nas.run("systemctl start ssh-tunnel-nas");
    await comesBack();
    await expect.poll(said).toContain("tunnel nas: forward 'ssh' on 127.0.0.1:2222 is up (was down)");
  });

  it("gets its listener back, without a restart, when that is gone while the connection lives", async () => {
    const pid = await tunnelPid();
    await nas.run(
      "runuser -u tunnel-nas -- ssh -S /run/ssh-tunnel-nas/control -O cancel -R 127.0.0.1:2222:127.0.0.1:22 ssh-tunnel-nas",
    );
    await nas.run("systemctl start ssh-tunnel-nas-watchdog.service");
    await comesBack();
    expect(await tunnelPid()).toBe(pid);
  });

  it("is left alone by the watchdog when the public host refuses a connection to its listener", async () => {
    const pid = await tunnelPid();
    await gate.run(
      "nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; }'; nft add rule inet t c tcp dport 2222 reject",
    );
    await nas.run("systemctl start ssh-tunnel-nas-watchdog.service");
    await gate.run("nft delete table inet t");
    expect(await tunnelPid()).toBe(pid);
    expect(await banner()).toBe("through");
  });

  it("is left alone by the watchdog when only a target is down", async () => {
    await nas.run("systemctl stop www");
    const pid = await tunnelPid();
    await nas.run("systemctl start ssh-tunnel-nas-watchdog.service");
    expect(await tunnelPid()).toBe(pid);
    await nas.run("systemctl start www");
  });

  it("leaves nothing after destroy, and what was there before is unchanged byte for byte", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
    await gate.run("sshd -t && systemctl is-active ssh");
  });
});

/** Files that an account and an administrator may have, each with a difficult end or beginning. */
const aLifeOfItsOwn = `
  set -e
  echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl somebody" >>/root/.ssh/authorized_keys
  printf '# no newline at the end of this line' >>/root/.ssh/authorized_keys
  printf 'Host *\\n    ForwardAgent no\\n' >/root/.ssh/config
  printf 'old.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl' >/root/.ssh/known_hosts
  printf 'PermitRootLogin prohibit-password\\n' >/etc/ssh/sshd_config.d/50-own.conf
  printf '\\nMatch User nobody\\n    PermitTTY no\\n' >>/etc/ssh/sshd_config
`;
