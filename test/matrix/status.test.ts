import { mkdir, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { findEngine } from "../../lab/engine.ts";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import type { HostStatus } from "../../tools/status.ts";
import { expectAsBefore, type HostState, hostState } from "../lab/support/hostState.ts";
import { journal } from "../lab/support/journal.ts";
import { healthCheckOf } from "../lab/support/settings.ts";
import { until } from "../lab/support/until.ts";

const tool = fileURLToPath(new URL("../../tools/status.ts", import.meta.url));
const textfiles = "/var/lib/prometheus/node-exporter";

/**
 * Two tunnels from one machine to one public host, and everything that watches them: the watchdog and the health check,
 * which are run by hand here, ssh-tunnel-status on both hosts, and `npm run status`. The tests are a story.
 */
describe("the state of a tunnel", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: HostState[];
  let temporary: string;

  /** Two tunnels; the checks run only when they are told to, except for the second one's watchdog. */
  const settings = (others: Record<string, unknown> = {}) => {
    const common = { ...labAdmin(lab, nas), textfileDirectory: "/srv/metrics" };
    const seldom = { watchdogIntervalSec: 86_400, healthIntervalSec: 86_400 };
    const forwards = {
      ssh: { remotePort: 2222, target: 22, probe: "banner" },
      web: { remotePort: 8080, target: 8080, listen: "all" },
    };
    const logins = [{ from: "root", to: "root" }];
    return {
      publicHosts: { gate: { ...labAdmin(lab, gate), textfileDirectory: textfiles } },
      internalHosts: { nas: { ...common, ...seldom, forwards, logins }, ...others },
    };
  };
  const shop = () => ({
    ...labAdmin(lab, nas),
    watchdogIntervalSec: 5,
    healthIntervalSec: 86_400,
    forwards: { ssh: { remotePort: 2300, target: 22 } },
  });

  beforeAll(async () => {
    lab = await Lab.up({ name: "status", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    temporary = join(lab.directory, "temporary");
    await mkdir(temporary);
    await nas.run(
      "mkdir -p /srv/www /srv/metrics && echo hello >/srv/www/index.html && printf '[Service]\\nExecStart=/bin/busybox httpd -f -p 127.0.0.1:8080 -h /srv/www\\n' >/etc/systemd/system/www.service && systemctl daemon-reload",
    );
    before = [await hostState(gate), await hostState(nas)];
    await nas.run("systemctl start www");
    stack = await openProgram(lab, { config: settings({ shop: shop() }) });
    await stack.up();
    await Promise.all([gate, nas].map(firstCheck));
    await look(gate, nas);
  });

  afterAll(() => Lab.clear("status"));

  /** The units of the check for the first tunnel. */
  const checkOn = (host: Host) => (host === gate ? healthCheckOf() : "ssh-tunnel-nas-watchdog");
  const look = async (...hosts: Host[]) => {
    for (const host of hosts) await host.run(`systemctl start ${checkOn(host)}`);
  };
  /** Each timer runs its check once, soon after it was started; from then on, only the tests do. */
  const firstCheck = (host: Host) =>
    until(`the first check on ${host.name}`, 60, async () => {
      const show = `systemctl show -P LastTriggerUSec ${checkOn(host)}.timer && systemctl show -P ActiveState ${checkOn(host)}`;
      return /^\S.*\ninactive$/.test((await host.run(show)).stdout);
    });
  const pidOf = async (tunnel: string) =>
    (await nas.run(`systemctl show -P MainPID ssh-tunnel-${tunnel}`)).stdout;
  /** The messages of a host's check since the last call. */
  const heard: Record<string, number> = {};
  const news = async (host: Host) => {
    const check = host === gate ? "health" : "watchdog";
    const lines = (await journal(host, `-t ${check} -u ${checkOn(host)}`))
      .split("\n")
      .filter((line) => line.startsWith("tunnel nas:"));
    const fresh = lines.slice(heard[host.name] ?? 0);
    heard[host.name] = lines.length;
    return fresh;
  };
  const statusOn = async (host: Host, args = "") => {
    const { stdout, exitCode } = await host.run(`su alice -c 'ssh-tunnel-status ${args}'`, {
      allowFailure: true,
    });
    return { stdout, exitCode };
  };
  const forwardsOn = async (host: Host) => {
    const { tunnels } = JSON.parse((await statusOn(host, "--json nas")).stdout) as HostStatus;
    return tunnels[0]!.forwards;
  };
  const statesOn = async (host: Host) =>
    Object.fromEntries((await forwardsOn(host)).map(({ forward, state }) => [forward, state]));
  /** Waits until the first tunnel is complete again after a restart. */
  const comesBack = () =>
    until("the tunnel to be up again", 20, async () => {
      await look(nas);
      return (await statusOn(nas, "nas")).exitCode === 0;
    });
  const asTunnel = (command: string) => nas.run(`runuser -u tunnel-nas -- ${command}`);

  it("is shown on both hosts to every user, without root's rights", async () => {
    for (const [host, side] of [
      [gate, "public"],
      [nas, "internal"],
    ] as const) {
      const { stdout, exitCode } = await statusOn(host, "--json nas");
      expect(exitCode).toBe(0);
      const isTime = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string;
      const common = { state: "up", since: isTime, lastGood: isTime, reason: null, code: null };
      expect(JSON.parse(stdout)).toEqual({
        host: host.name,
        time: isTime,
        failedNotifications: [],
        tunnels: [
          {
            ...{ tunnel: "nas", side, state: "up", checked: isTime, intervalSec: 86_400 },
            keyCreated: isTime,
            service:
              side === "internal"
                ? {
                    ...{ state: "active", pid: Number(await pidOf("nas")), connectedSince: isTime },
                    restarts: expect.any(Number) as number,
                  }
                : null,
            connection:
              side === "internal"
                ? null
                : {
                    ...{ connectedSince: isTime, lastConnected: isTime, address: nas.address },
                    ...{ attemptsSince: 0, lastAttempt: null },
                  },
            forwards: [
              { forward: "ssh", listens: "127.0.0.1:2222", leadsTo: "127.0.0.1:22", ...common },
              { forward: "web", listens: "*:8080", leadsTo: "127.0.0.1:8080", ...common },
            ],
          },
        ],
      });
    }
    const table = (await statusOn(nas, "nas")).stdout.split("\n");
    expect(table[0]).toMatch(/^TUNNEL +FORWARD +LISTENS +LEADS TO +STATE +SINCE +LAST GOOD$/);
    expect(table[1]).toMatch(/^nas +ssh +127.0.0.1:2222 +127.0.0.1:22 +up +2\S+ \S+Z +\d+ s ago$/);
    expect(table[3]).toMatch(/^ssh-tunnel-nas.service: active, pid \d+, connected since 2/);
    expect((await statusOn(nas, "none")).exitCode).toBe(2);
  });

  it("is one line in the journal for each change, and no line without a change", async () => {
    const first = "is up (was unknown)";
    for (const host of [gate, nas]) {
      await look(host, host);
      expect(await news(host)).toEqual([
        `tunnel nas: forward 'ssh' on 127.0.0.1:2222 ${first}`,
        `tunnel nas: forward 'web' on *:8080 ${first}`,
      ]);
    }
  });

  it("is exported to a node_exporter without special rights, and never as a half-written file", async () => {
    for (const [host, folder, side] of [
      [gate, textfiles, "public"],
      [nas, "/srv/metrics", "internal"],
    ] as const) {
      const { stdout } = await host.run(
        `setpriv --reuid 65534 --clear-groups cat ${folder}/ssh-tunnel-nas.prom`,
      );
      const lines = stdout.split("\n");
      const labels = `{tunnel="nas",forward="web",side="${side}"}`;
      expect(lines).toEqual(
        expect.arrayContaining(["# TYPE ssh_tunnel_up gauge", `ssh_tunnel_up${labels} 1`]),
      );
      const [forward] = (await forwardsOn(host)).filter((each) => each.forward === "web");
      for (const [metric, at] of [
        ["state_change", forward!.since],
        ["last_good_check", forward!.lastGood],
      ] as const) {
        expect(lines).toContain(`ssh_tunnel_${metric}_timestamp_seconds${labels} ${Date.parse(at!) / 1000}`);
      }
      // Replaced, never written to: a reader that has it open reads the old file to its end.
      const inode = async () => (await host.run(`stat -Lc %i ${folder}/ssh-tunnel-nas.prom`)).stdout;
      const old = await inode();
      await host.run(
        `exec 3<${folder}/ssh-tunnel-nas.prom; systemctl start ${checkOn(host)}; [ -s /proc/self/fd/3 ]`,
      );
      expect(await inode()).not.toBe(old);
    }
  });

  it("resets the back-off of the tunnel's restarts once the whole tunnel has worked", async () => {
    await asTunnel("touch /run/ssh-tunnel-nas/down-since");
    await look(nas);
    expect((await nas.run("ls /run/ssh-tunnel-nas")).stdout).not.toContain("down-since");
  });

  it.each([
    ["ssh", "127.0.0.1:2222:127.0.0.1:22", "127.0.0.1:2222"],
    ["web", "*:8080:127.0.0.1:8080", "*:8080"],
  ])(
    "is asked for again if the listener of '%s' is gone while the connection lives, and no tunnel restarts",
    async (_name, spec, listens) => {
      const pids = [await pidOf("nas"), await pidOf("shop")];
      await asTunnel(`ssh -S /run/ssh-tunnel-nas/control -O cancel -R '${spec}' ssh-tunnel-nas`);
      const port = listens.split(":")[1]!;
      const listening = async () => (await gate.run(`ss -Hltn 'sport = :${port}'`)).stdout;
      await until("the listener to be gone", 20, async () => (await listening()) === "");
      await look(nas);
      expect(await listening()).not.toBe("");
      expect(await news(nas)).toEqual([]);
      expect([await pidOf("nas"), await pidOf("shop")]).toEqual(pids);
    },
  );

  it("is shown as down, and not restarted, if a listener leads nowhere", async () => {
    const pid = await pidOf("nas");
    const clear = async () => {
      await gate.run("nft delete table ip t; systemctl stop nowhere", { allowFailure: true });
    };
    await gate.run(
      `systemd-run --quiet --unit nowhere busybox httpd -f -p 127.0.0.1:9999 && until ss -Hltn 'sport = :9999' | grep -q .; do sleep 0.05; done
      nft 'add table ip t; add chain ip t c { type nat hook output priority -100; }; add rule ip t c tcp dport 2222 redirect to :9999'`,
    );
    onTestFinished(clear);
    await news(gate);
    await look(nas, gate, nas);
    expect(await news(gate)).toEqual([
      "tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down (was up): nothing comes back through it",
    ]);
    expect(await news(nas)).toEqual([]);
    expect(await pidOf("nas")).toBe(pid);
    await clear();
    await look(gate);
    expect((await news(gate)).at(-1)).toContain("is up (was down)");
  });

  it("is left alone if a target is down or hangs, and another forward loses no byte in the meantime", async () => {
    await comesBack();
    await news(nas);
    const pid = await pidOf("nas");
    await gate.run("head -c 3000000 /dev/urandom >/tmp/there");
    // It sends until it is told to stop: however long the checks take, they find a forward that carries bytes.
    const transfer = gate.run(
      `{ while [ ! -e /tmp/enough ] && cat /tmp/there; do sleep 0.1; done; } | tee /tmp/sent | ssh nas 'cat >/tmp/arrived'`,
      { timeoutSeconds: 120 },
    );
    transfer.catch(() => {}); // if it fails, the test reports it below
    await until("bytes to arrive", 20, async () => {
      const { stdout } = await nas.run("stat -c %s /tmp/arrived 2>/dev/null || echo 0");
      return Number(stdout) > 1_000_000;
    });
    // Without the probe 'banner', a target is nobody's business.
    await nas.run("systemctl stop www");
    await look(nas, nas, gate);
    expect([await news(nas), await news(gate)]).toEqual([[], []]);
    // When stopped, the listener of sshd accepts and prints nothing; the session that takes the bytes is a different
    // process.
    await nas.run("systemctl start www && kill -STOP $(systemctl show -P MainPID ssh)");
    await look(nas, nas, gate);
    await nas.run("kill -CONT $(systemctl show -P MainPID ssh)");
    const downs = "tunnel nas: forward 'ssh' on 127.0.0.1:2222 is down (was up)";
    expect(await news(nas)).toEqual([`${downs}: its target 127.0.0.1:22 does not answer`]);
    expect(await news(gate)).toEqual([`${downs}: nothing comes back through it`]);
    expect(await statesOn(gate)).toEqual({ ssh: "down", web: "up" });
    expect(await statesOn(nas)).toEqual({ ssh: "down", web: "up" });
    expect((await statusOn(nas, "nas")).exitCode).toBe(1);
    expect(await pidOf("nas")).toBe(pid);
    await gate.run("touch /tmp/enough");
    await transfer;
    const sum = async (host: Host, file: string) => (await host.run(`sha256sum <${file}; rm ${file}`)).stdout;
    expect(await sum(nas, "/tmp/arrived")).toBe(await sum(gate, "/tmp/sent"));
    await gate.run("rm /tmp/enough /tmp/there");
    await comesBack();
    await look(gate);
  });

  it("is repaired if ssh hangs and ignores a request to end", async () => {
    await comesBack();
    await news(nas);
    const pid = await pidOf("nas");
    await nas.run(`touch -d '1 minute ago' /run/ssh-tunnel-nas/pid && kill -STOP ${pid}`);
    await look(nas);
    expect(await news(nas)).toEqual(
      ["'ssh' on 127.0.0.1:2222", "'web' on *:8080"].map(
        (forward) =>
          `tunnel nas: forward ${forward} is down (was up): ssh does not answer on its control socket; restarting the tunnel`,
      ),
    );
    await comesBack();
    expect(await pidOf("nas")).not.toBe(pid);
  });

  /** `npm run status`, with its own folder for temporary files. */
  const run = async (...args: string[]) => {
    const { env, path } = await findEngine();
    const { workDir, envVars } = stack.automation.workspace;
    // In the folder of the stack's settings, as a user runs it in the project's.
    const shell = `cd "$1" && shift && exec "$@"`;
    return exec("sh", ["-c", shell, "sh", workDir, process.execPath, "--import", "tsx", tool, ...args], {
      env: { ...env, ...envVars, TMPDIR: temporary, PATH: `${dirname(path)}:${env["PATH"]}` },
      allowFailure: true,
      timeoutSeconds: 60,
    });
  };

  it("is shown for the whole stack, from each host over its admin connection", async () => {
    await look(gate, nas);
    const { stdout, exitCode } = await run("--stack", "dev", "--json");
    const { hosts } = JSON.parse(stdout) as { hosts: HostStatus[] };
    expect(
      hosts.map(({ host, error, tunnels }) => [host, error, tunnels.map((each) => each.tunnel)]),
    ).toEqual([
      ["gate", null, ["nas", "shop"]],
      ["nas", null, ["nas"]],
      ["shop", null, ["shop"]],
    ]);
    expect(exitCode).toBe(0);
  });

  it("is shown for the hosts that answer if one cannot be reached, including through the tunnel and with a password", async () => {
    await nas.run(
      "cp -p /etc/shadow /etc/shadow.kept && echo root:secret | chpasswd && printf 'PermitRootLogin yes\\n' >/etc/ssh/sshd_config.d/00-x.conf && systemctl reload ssh",
    );
    const changed = settings({ shop: { ...shop(), address: "198.51.100.1" } });
    const { hostKey } = nas;
    const admin = { hostKey, throughTunnel: "ssh", agentSocketPath: "/nonexistent" };
    Object.assign(changed.internalHosts.nas, { admin });
    delete changed.publicHosts.gate.admin["privateKeyFile"];
    await stack.setConfig(changed);
    await stack.setSecret("internalHosts.nas.admin.password", "secret", true);
    await stack.setSecret(
      "publicHosts.gate.admin.privateKey",
      await readFile(lab.adminKeyFile, "utf8"),
      true,
    );
    const { stdout, stderr, exitCode } = await run("--stack", "dev");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("waiting for shop …");
    expect(stdout).toMatch(/^shop \(198\.51\.100\.1\) cannot be reached: /m);
    expect(stdout).toMatch(/^nas +nas +ssh +127.0.0.1:2222 +127.0.0.1:22 +up /m);
    expect(stdout).toMatch(/^gate +shop +ssh /m);
    expect(stdout + stderr).not.toMatch(/secret|PRIVATE KEY/);
    // The key and the password were in files.
    expect((await readdir(temporary)).filter((name) => !name.startsWith("tsx"))).toEqual([]);
    await stack.setConfig(settings({ shop: shop() }));
    // usermod would also write the day of the change, which is not that of the image.
    await nas.run(
      "mv /etc/shadow.kept /etc/shadow && rm /etc/ssh/sshd_config.d/00-x.conf && systemctl reload ssh",
    );
  });

  it("is unknown if its check has not run for three intervals", async () => {
    // As if it had been stopped some days ago.
    const file = `/run/${healthCheckOf()}/shop.state`;
    await gate.run(
      `awk -F '\\t' -v OFS='\\t' '{ $4 -= 270000; print }' ${file} >/tmp/old && cat /tmp/old >${file} && rm /tmp/old`,
    );
    const { stdout: status, exitCode } = await statusOn(gate, "shop");
    expect(exitCode).toBe(1);
    expect(status).toMatch(/^shop +ssh .* unknown +- +\d+ (s|min) ago +its check has not run for 3 d$/m);
  });

  it("is removed with its tunnel, and stays for the other tunnel, with the program that shows it", async () => {
    // Even if the last check failed, for example because somebody stopped it while it ran.
    await gate.run(`
      folder=/run/systemd/system/${healthCheckOf()}.service.d
      mkdir -p $folder && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >$folder/fails.conf
      systemctl daemon-reload; ! systemctl start ${healthCheckOf()}.service 2>/dev/null
      rm -r $folder; systemctl daemon-reload; systemctl is-failed ${healthCheckOf()}.service`);
    await stack.setConfig(settings());
    await stack.up();
    for (const host of [gate, nas]) {
      expect(
        (
          await host.run("ls -d /run/ssh-tunnel*; ls /run/ssh-tunnel*/ /srv/metrics " + textfiles, {
            allowFailure: true,
          })
        ).stdout,
      ).not.toContain("shop");
      expect((await statusOn(host, "nas")).exitCode).toBe(0);
      expect((await statusOn(host, "shop")).exitCode).toBe(2);
    }
  });

  it("leaves nothing behind after destroy: no program, no state, no link and no folder created for it", async () => {
    await stack.destroy();
    await nas.run("systemctl stop www");
    await Promise.all([gate, nas].map((host, index) => expectAsBefore(host, before[index]!)));
    for (const host of [gate, nas]) {
      expect(
        (await host.run("ls /usr/local/bin /run | grep ssh-tunnel", { allowFailure: true })).stdout,
      ).toBe("");
    }
  });
});
