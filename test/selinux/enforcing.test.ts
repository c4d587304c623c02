import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { noGuests } from "../../lab/guest.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { journal } from "../lab/support/journal.ts";
import { remoteScripts } from "../lab/support/remoteScripts.ts";
import { healthCheckOf, tunnelSettings } from "../lab/support/settings.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { denialsSince, timeOf } from "./support/denials.ts";
import { filesOf, wrongLabels } from "./support/labels.ts";
import { runningInAnyBoot } from "./support/running.ts";

const reason = await noGuests();

/** The ports of the tunnel, as semanage lists those with a type of their own. */
const OURS = /^ssh_port_t +tcp +(8080, 10005|10005, 8080)$/;

/**
 * The life of one tunnel between hosts whose kernels enforce SELinux. The tests are a story: each continues from the
 * one before. The first ones prove that violations would be noticed.
 */
describe.skipIf(reason)(`hosts that enforce SELinux${reason ? ` (skipped: ${reason})` : ""}`, () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let pc: Host;
  let stack: LabStack;
  let start: Map<Host, number>;
  let before: Map<Host, { files: string[]; running: Record<string, string> }>;

  beforeAll(async () => {
    const guests = ["gate", "nas"].map((name) => ({ name, guest: true }));
    lab = await Lab.up({ name: "selinux", hosts: [...guests, "pc"] });
    [gate, nas, pc] = lab.hostNames.map((name) => lab.host(name)) as [Host, Host, Host];
  }, 1_200_000); // the first time, this builds the image

  afterAll(() => Lab.clear("selinux"));

  const both = <T>(act: (host: Host) => Promise<T>) => Promise.all([act(gate), act(nas)]);
  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=5 nas echo through", { allowFailure: true })).stdout;

  it("are on one network with this machine and the lab's other hosts, are different, and enforce", async () => {
    for (const host of [gate, nas]) {
      expect((await host.run("getenforce; hostname; id -Z")).stdout.split("\n")).toEqual([
        "Enforcing",
        host.name,
        expect.stringMatching(/:unconfined_t:/) as string,
      ]);
      expect(
        (await pc.run(`bash -c 'read -r -n 4 start </dev/tcp/${host.address}/22; echo $start'`)).stdout,
      ).toBe("SSH-");
      expect(Math.abs((await timeOf(host)) - Date.now() / 1000)).toBeLessThan(5);
    }
    const [one, other] = await both((host) => host.run("cat /proc/sys/kernel/random/uuid"));
    expect(one.stdout).not.toBe(other.stdout);
  });

  const forward = () =>
    sshAsUser(lab, "-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:2222:127.0.0.1:22", "gate", "true");

  it("refuse sshd a port without the type, and report it in the audit log", async () => {
    const since = await timeOf(gate);
    expect((await forward()).stderr).toContain("remote port forwarding failed for listen port 2222");
    expect(await denialsSince(gate, since)).toEqual([
      expect.stringMatching(
        /avc: +denied +{ name_bind } .* src=2222 scontext=\S+:sshd_t:\S+ .*tclass=tcp_socket/,
      ),
    ]);
  });

  it("allow sshd that port while they are permissive, and report it anyway", async () => {
    await gate.run("setenforce 0");
    const since = await timeOf(gate);
    expect((await forward()).exitCode).toBe(0);
    await gate.run("setenforce 1");
    expect(await denialsSince(gate, since)).toEqual([
      expect.stringMatching(/denied +{ name_bind } .* src=2222 .* permissive=1/),
    ]);
  });

  it("deny sshd a key file with a wrong label, which restorecon corrects", async () => {
    const keys = "/home/alice/.ssh/authorized_keys";
    const login = async () => (await sshAsUser(lab, "-l", "alice", "nas", "true")).exitCode;
    const since = await timeOf(nas);
    await nas.run(`chcon -t httpd_sys_content_t ${keys}`);
    expect(await login()).toBe(255);
    expect((await denialsSince(nas, since)).join("\n")).toMatch(/denied .*sshd_t.*httpd_sys_content_t/);
    expect(await wrongLabels(nas, [keys])).toEqual([expect.stringContaining(keys)]);
    await nas.run(`restorecon ${keys}`);
    expect(await login()).toBe(0);
  });

  const comesBack = () => expect.poll(banner, { timeout: 120_000, interval: 500 }).toBe("through");

  it("get a tunnel in the first up, including ports in a range and ports of another type", async () => {
    await nas.run(
      `mkdir -p /srv/www && echo hello from nas >/srv/www/index.html
       printf '[Service]\\nExecStart=/bin/busybox httpd -f -p 127.0.0.1:8080 -h /srv/www\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/www.service
       systemctl enable --quiet --now www`,
    );
    before = new Map(
      await both(
        async (host) =>
          [host, { files: await filesOf(host), running: await runningInAnyBoot(host) }] as const,
      ),
    );
    start = new Map(await both(async (host) => [host, await timeOf(host)] as const));
    stack = await openProgram(lab, { config: settings() });
    const { changes } = await stack.up();
    expect(changes).toEqual({ create: expect.any(Number) as number });
    expect((await gate.run("semanage port -l -C -n")).stdout).toMatch(OURS);
  });

  /** What the other host receives at a port of the public host. */
  const page = async () =>
    (await pc.run(`busybox wget -q -O - http://${gate.address}:8080/`, { allowFailure: true })).stdout;

  const settings = () =>
    tunnelSettings(lab, gate, nas, {
      forwards: {
        ssh: { remotePort: 10005, target: 22 }, // by policy in a range of http_cache_port_t
        web: { remotePort: 8080, target: 8080, listen: "all" }, // by policy http_cache_port_t
      },
      logins: [
        { from: "root", to: "root" },
        { from: "alice", to: "alice", alias: "my-nas" },
      ],
    });

  it("carry traffic for each account and from other hosts", async () => {
    expect(await banner()).toBe("through");
    expect((await gate.run("su - alice -c \"ssh my-nas 'hostname; id -un'\"")).stdout).toBe("nas\nalice");
    expect(await page()).toBe("hello from nas");
  });

  it("do not change in a second up", async () => {
    expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
  });

  it("have the label that the policy defines on every file of ours", async () => {
    for (const host of [gate, nas]) {
      // What is on record, in homes as well, and the tools.
      const { stdout } = await host.run(
        `cut -f2- /var/lib/ssh-reverse-tunnel/*/* | tr '\\t ' '\\n\\n' | grep '^[/~]' | sort -u | while IFS= read -r path; do
           case $path in "~"*/*) account=\${path%%/*}; path=$(getent passwd "\${account#?}" | cut -d: -f6)/\${path#*/} ;; esac
           ls -d "$path" 2>/dev/null
         done
         find /opt/ssh-reverse-tunnel /var/lib/ssh-reverse-tunnel`,
        { allowFailure: true },
      );
      const paths = stdout.split("\n");
      const kinds = [
        /\.keys$|\/authorized_keys$/,
        /\/bin\/(evict-stale|tunnel)$/,
        /\/lib\/library\.sh$/,
        /\.service$/,
      ];
      for (const kind of [...kinds, /\/\.ssh\/ssh-reverse-tunnel\/\S+\.conf$/])
        expect(paths, host.name).toContainEqual(expect.stringMatching(kind));
      expect(await wrongLabels(host, paths)).toEqual([]);
    }
  });

  it("run the tunnel and its checks as services, in the domain that the policy defines for them", async () => {
    const domainsOf = async (host: Host, program: string, unit: string) =>
      (
        await host.run(
          `systemctl start --no-block ${unit}; for i in $(seq 300); do ps axo label,args | grep '[ /]${program}' && break; done | grep -v grep | cut -d: -f3 | sort -u`,
        )
      ).stdout;
    expect(await domainsOf(nas, "ssh -y -N -T -M", "ssh-tunnel-nas")).toBe("initrc_t");
    expect(await domainsOf(nas, "bin/network", "ssh-tunnel-nas")).toBe("initrc_t");
    // If it may not change its domain, it works anyway: it listens to the kernel.
    expect(await domainsOf(nas, "ip monitor", "ssh-tunnel-nas")).toBe("initrc_t");
    expect(await domainsOf(nas, "bin/watchdog", "ssh-tunnel-nas-watchdog")).toBe("initrc_t");
    expect(await domainsOf(gate, "bin/health", healthCheckOf())).toBe("initrc_t");
  });

  it("end a dead session for a new connection, which takes its ports", async () => {
    await gate.run("pkill -STOP -u tunnel-nas -x sshd");
    await nas.run("systemctl restart ssh-tunnel-nas");
    await comesBack();
    expect(await journal(nas, "-u ssh-tunnel-nas")).toMatch(
      /^the public host says: ended the earlier session \(pid \d+\) of tunnel-nas$/m,
    );
  });

  /** Runs a host's check until it finds the tunnel up, readable by everyone. */
  const isSeenUp = (host: Host) => {
    // On an emulated processor an answer may take longer than a check waits for it.
    const state = async () => {
      await host.run(`systemctl start ${host === gate ? healthCheckOf() : "ssh-tunnel-nas-watchdog"}`);
      const { stdout } = await host.run(
        "setpriv --reuid 65534 --clear-groups ssh-tunnel-status --json", // a PAM session creates a keyring, which others may not see
        { allowFailure: true },
      );
      return (JSON.parse(stdout) as { tunnels: { state: string }[] }).tunnels[0]?.state;
    };
    return expect.poll(state, { timeout: 120_000, interval: 1000 }).toBe("up");
  };

  it("ask again for a listener that is gone while the connection lives", async () => {
    await isSeenUp(nas);
    const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
    const before = await pid();
    await nas.run(
      "runuser -u tunnel-nas -- ssh -S /run/ssh-tunnel-nas/control -O cancel -R '*:8080:127.0.0.1:8080' ssh-tunnel-nas",
    );
    await nas.run("systemctl start ssh-tunnel-nas-watchdog");
    await expect.poll(page, { timeout: 120_000, interval: 500 }).toBe("hello from nas");
    expect(await pid()).toBe(before);
    await isSeenUp(nas);
  });

  it("roll back a change of sshd that no new login confirms", async () => {
    const login = async () => (await sshAsUser(lab, "-l", "admin", "gate", "true")).exitCode;
    const change = (await remoteScripts(stack)).find(({ name }) => name === "gate-server-change")!.stdin;
    const others = change
      .replace("\nMatch User ", "\nAllowUsers root tunnel-*\nMatch User ")
      .replace("TRIAL_SECONDS='60'", "TRIAL_SECONDS='20'");
    await gate.run("sh -s -- apply", { input: others });
    expect(await login()).toBe(255);
    await expect.poll(login, { timeout: 60_000, interval: 1000 }).toBe(0);
    const dropIn = "/etc/ssh/sshd_config.d/00-ssh-reverse-tunnel-dev.conf";
    expect((await gate.run(`grep -c '^AllowUsers' ${dropIn}`, { allowFailure: true })).stdout).toBe("0");
    expect(await wrongLabels(gate, [dropIn])).toEqual([]);
  });

  it("have the tunnel back after a reboot of both", async () => {
    await both((host) => host.reboot());
    expect((await gate.run("getenforce")).stdout).toBe("Enforcing");
    await comesBack();
  });

  it("show the tunnel's state to every user once their checks have run", async () => {
    await isSeenUp(gate);
    await isSeenUp(nas);
  });

  it("also give a port its type while they are permissive, so that it works when they enforce again", async () => {
    const others = (await remoteScripts(stack, (part) => part === "selinuxPorts"))
      .find(({ name }) => name.endsWith("-admit"))!
      .stdin.replace(/^(STALE|RECORDS)='.*'\n/gm, "")
      .replace(/^RESOURCE='.*'$/m, "RESOURCE='other'")
      .replace(/^PORTS='[^']*'$/m, "PORTS='2222'");
    await gate.run("setenforce 0 && sh -s -- apply && setenforce 1", { input: others });
    expect((await forward()).exitCode).toBe(0);
    await gate.run("sh -s -- remove", { input: others });
    expect((await gate.run("semanage port -l -C -n")).stdout).toMatch(OURS);
  });

  it("have nothing of ours after destroy, and their policy and labels as before", async () => {
    await stack.destroy();
    expect((await gate.run("semanage port -l -C -n")).stdout).toBe("");
    await both(async (host) => {
      const { files, running } = before.get(host)!;
      expect(await filesOf(host), host.name).toEqual(files);
      // What ended a moment ago may still be listed.
      await expect.poll(() => runningInAnyBoot(host), { timeout: 90_000, interval: 1000 }).toEqual(running);
    });
  });

  it("have denied nothing since the beginning of the up", async () => {
    for (const [host, since] of start) expect(await denialsSince(host, since), host.name).toEqual([]);
  });
});
