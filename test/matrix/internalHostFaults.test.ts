import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { partText } from "../../tools/parseCommand.ts";
import { failedUp } from "../lab/support/failure.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { type Changes, healthCheckOf, tunnelSettings } from "../lab/support/settings.ts";

const unit = "ssh-tunnel-nas.service";

/** What real hosts do that a plain Debian does not. A story: each case leaves the hosts as they were. */
describe("a tunnel works on hosts", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let adminKey: string;
  let before: Map<Host, Snapshot>;

  beforeAll(async () => {
    lab = await Lab.up({ name: "unusual-hosts", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    // In FIPS mode, the admin's own key is not ed25519 either.
    adminKey = join(lab.directory, "ecdsa");
    await exec("ssh-keygen", ["-q", "-t", "ecdsa", "-N", "", "-f", adminKey]);
    const publicKey = await readFile(`${adminKey}.pub`, "utf8");
    await both(
      `for home in /root /home/admin; do echo '${publicKey.trim()}' >>$home/.ssh/authorized_keys; done`,
    );
    before = new Map([
      [gate, await gate.snapshot()],
      [nas, await nas.snapshot()],
    ]);
    stack = await openProgram(lab);
    await configure();
  });

  afterAll(async () => {
    await lab?.down();
  });

  const both = (command: string) => Promise.all([gate, nas].map((host) => host.run(command)));
  const configure = ({ user = "root", ...changes }: Changes & { user?: string } = {}) => {
    const admin = (host: Host) => ({
      admin: { ...labAdmin(lab, host).admin, privateKeyFile: adminKey, user },
    });
    return stack.setConfig(
      tunnelSettings(lab, gate, nas, {
        ...changes,
        gate: { ...admin(gate), ...changes.gate },
        nas: { ...admin(nas), ...changes.nas },
      }),
    );
  };
  const through = async (account = "root") =>
    (await gate.run(`su - ${account} -c 'ssh -o ConnectTimeout=2 nas hostname'`, { allowFailure: true }))
      .stdout;
  const works = (account?: string) =>
    expect.poll(() => through(account), { timeout: 120_000, interval: 200 }).toBe("nas");

  const dropIn = "/etc/ssh/sshd_config.d/60-policy.conf";
  const typeOf = async (host: Host, key: string) => (await host.run(`cut -d' ' -f1 ${key}.key.pub`)).stdout;
  const types = async () => [
    await typeOf(nas, "/var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas"),
    await typeOf(gate, "/root/.ssh/ssh-reverse-tunnel/nas"),
  ];

  it("whose sshd accepts ed25519 keys no longer, as in FIPS mode, for which they make ecdsa keys", async () => {
    await stack.up();
    expect(await types()).toEqual(["ssh-ed25519", "ssh-ed25519"]);
    await both(`echo 'PubkeyAcceptedAlgorithms -ssh-ed25519*' >${dropIn} && systemctl reload ssh`);
    await stack.setConfig({ revision: "policy" });
    const { stdout } = await stack.up();
    expect(stdout).toContain("no longer accepts the ed25519 key");
    expect(await types()).toEqual(["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"]);
    await works();
    await stack.setConfig({ revision: "again" });
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
    await both(`rm ${dropIn} && systemctl reload ssh`);
  });

  const apply = (changes: Record<string, string>) =>
    nas.run("sh -s -- apply", {
      input: partText("keyPair", {
        ...{ HOST: "nas", OWNER: "p-s", STACK_ID: "", RESOURCE: "key", WHAT: "the key", ACCOUNT: "alice" },
        ...{ FILE: "x.key", COMMENT: "alice@nas", TYPES: "ed25519 ecdsa", ...changes },
      }),
      allowFailure: true,
    });
  const remove = () =>
    nas.run("sh -s -- remove", {
      input: partText("keyPair", {
        ...{ HOST: "nas", OWNER: "p-s", STACK_ID: "", RESOURCE: "key", WHAT: "the key" },
      }),
    });
  const keygen = "/usr/local/bin/ssh-keygen";
  /** ssh-keygen as in FIPS mode, which makes no keys of these types. */
  const refuse = (types: string) =>
    nas.run(
      `printf '#!/bin/sh\\ncase " $* " in %s) echo "keys of this type are not allowed in FIPS mode" >&2; exit 255 ;; esac\\nexec /usr/bin/ssh-keygen "$@"\\n' '${types}' >${keygen} && chmod 755 ${keygen}`,
    );

  it("whose ssh-keygen makes no ed25519 keys, where they get an ecdsa key", async () => {
    await refuse('*" ed25519 "*');
    const first = await apply({});
    expect(first).toMatchObject({ exitCode: 0 });
    expect(first.stdout).toMatch(/^key alice\/x\.key ecdsa-sha2-nistp256 \S+ alice@nas$/m);
    const again = await apply({});
    expect(again.stdout).toBe(first.stdout);
    expect(again.stderr).toBe("unchanged: nas: the key");
    await remove();
    await nas.run(`rm ${keygen}`);
  });

  it("whose ssh uses no ed25519 keys by its configuration, where they get an ecdsa key", async () => {
    const config = "/etc/ssh/ssh_config.d/60-policy.conf";
    await nas.run(`echo 'PubkeyAcceptedAlgorithms -ssh-ed25519*' >${config}`);
    expect((await apply({})).stdout).toContain(" ecdsa-sha2-nistp256 ");
    await remove();
    await nas.run(`rm ${config}`);
    expect((await apply({})).stdout).toContain(" ssh-ed25519 ");
    await remove();
  });

  it("but not where no key can be made, which is an error, and leaves nothing", async () => {
    await refuse('*" -t "*');
    expect(await apply({})).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining(
        "error: nas: cannot make the key ~alice/.ssh/ssh-reverse-tunnel/x.key",
      ) as string,
    });
    await nas.run(`rm ${keygen}`);
    await nas.run(
      "test ! -e /var/lib/ssh-reverse-tunnel/p-s && test ! -e /home/alice/.ssh/ssh-reverse-tunnel",
    );
  });

  it("that wait in vain for one of their network ports while they boot", async () => {
    await nas.run(
      `printf '[Unit]\\nBefore=network-online.target\\nDefaultDependencies=no\\n[Service]\\nType=oneshot\\nExecStart=/bin/sleep infinity\\nTimeoutStartSec=infinity\\n[Install]\\nWantedBy=network-online.target\\n' >/etc/systemd/system/unplugged.service
       systemctl enable --quiet unplugged`,
    );
    await nas.reboot();
    await works();
    await nas.run(
      "systemctl disable --quiet unplugged; systemctl stop unplugged; rm /etc/systemd/system/unplugged.service; systemctl daemon-reload",
    );
  });

  // systemd fails at the same step in an unprivileged container, which may not mount anything.
  it("only once systemd can set up their namespaces, and the error says so", async () => {
    await nas.run(
      `mkdir -p /etc/systemd/system/${unit}.d && printf '[Service]\\nBindReadOnlyPaths=/nowhere\\n' >/etc/systemd/system/${unit}.d/broken.conf && systemctl daemon-reload`,
    );
    await configure({ nas: { keepAlive: { restartSec: 2 } } });
    const failure = await failedUp(stack);
    expect(failure).toMatch(
      /error: nas \(.*\): ssh-tunnel-nas\.service does not start, since systemd cannot set up its namespaces here \(226\/NAMESPACE: Failed to set up mount namespacing: .*nowhere.*\); in a container, allow nested ones/,
    );
    expect(failure).toContain("'namespaces: false'");
    await nas.run(`rm -r /etc/systemd/system/${unit}.d && systemctl daemon-reload`);
    await stack.up();
    await works();
  });

  it("whose health check cannot start on the public host, which is an error, too", async () => {
    const check = `/etc/systemd/system/${healthCheckOf()}.service.d`;
    await gate.run(
      `mkdir ${check} && printf '[Service]\\nBindReadOnlyPaths=/nowhere\\n' >${check}/broken.conf && systemctl daemon-reload`,
    );
    await configure({ nas: { healthIntervalSec: 40 } });
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): ssh-tunnels-\S+-health\.service does not start, since systemd cannot set up its namespaces here/,
    );
    await gate.run(`rm -r ${check} && systemctl daemon-reload`);
    await stack.up();
  });

  describe("whose services may have no namespaces, by a setting", () => {
    it.each([
      ["of the tunnel's own", {}, "tunnel-nas"],
      [
        "that existed before, which systemd then mounts a small file system for",
        { account: "alice" },
        "alice",
      ],
    ])("with an account %s", async (_what, more, user) => {
      await configure({ gate: { namespaces: false }, nas: { namespaces: false, ...more } });
      await stack.up();
      await works();
      const own = await nas.run(
        `pid=$(systemctl show -P MainPID ${unit}); ps -o user= -p $pid; for each in mnt uts ipc pid user; do [ "$(readlink /proc/$pid/ns/$each)" = "$(readlink /proc/1/ns/$each)" ] || echo $each; done`,
      );
      expect(own.stdout).toBe(user);
      const { stdout: mounted } = await nas.run("findmnt -nro FSTYPE /run/ssh-tunnel-nas", {
        allowFailure: true,
      });
      expect(mounted).toBe(user === "alice" ? "tmpfs" : "");
      for (const [host, check] of [
        [nas, "ssh-tunnel-nas-watchdog"],
        [gate, healthCheckOf()],
      ] as const) {
        await host.run(`systemctl start ${check}`);
        const { stdout } = await host.run("ssh-tunnel-status --json", { allowFailure: true });
        expect(JSON.parse(stdout)).toMatchObject({ tunnels: [{ state: "up" }] });
      }
      // A new start finds what the one before has mounted.
      await nas.run(`systemctl restart ${unit}`);
      await works();
      await configure();
      await stack.up();
    });
  });

  // Root without these capabilities is refused as root is on NFS with root_squash.
  const squash = "/etc/systemd/system/ssh.service.d";

  it("whose homes root cannot look into, as on NFS: that of the admin, and that of an account with a login", async () => {
    await both(
      `mkdir -p ${squash} && printf '[Service]\\nCapabilityBoundingSet=~CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH\\n' >${squash}/squash.conf
       systemctl daemon-reload && systemctl restart ssh && chmod 700 /home/admin /home/alice`,
    );
    await configure({ user: "admin", logins: [{ from: "alice", to: "alice" }] });
    await stack.up();
    await works("alice");
    await stack.setConfig({ revision: "squashed" });
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
  });

  it("and destroy leaves nothing on either", async () => {
    await stack.destroy();
    await both(
      `rm -r ${squash} && systemctl daemon-reload && systemctl restart ssh && chmod 755 /home/admin /home/alice`,
    );
    for (const host of [gate, nas]) expect(await leftovers(host, before.get(host)!), host.name).toEqual([]);
  });
});
