import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { HostStatus } from "../../tools/status.ts";
import { journal } from "../lab/support/journal.ts";
import { healthCheckOf, tunnelSettings } from "../lab/support/settings.ts";
import { until } from "../lab/support/until.ts";

/**
 * One tunnel with several forwards, and what a public host may do to some of them: a port that another program has, a script
 * at each login, rules that refuse the connection of a check, targets that count connections. The checks run only when they
 * are told to.
 */
describe("the forwards of a tunnel", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;

  beforeAll(async () => {
    lab = await Lab.up({ name: "forwards", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    // A server that notes each connection, as a VNC server does that blocks whoever connects without a login.
    await nas.run(
      `cat >/root/counts.py <<'EOT'
import socket, threading, time
server = socket.create_server(("127.0.0.1", 5900))
while True:
    connection, _ = server.accept()
    open("/run/counted", "a").write("x\\n")
    connection.sendall(b"RFB 003.008\\n")
    connection.close()
EOT
      : >/run/counted; systemd-run --quiet --unit counts python3 /root/counts.py`,
    );
    const seldom = { watchdogIntervalSec: 86_400, healthIntervalSec: 86_400 };
    const config = tunnelSettings(lab, gate, nas, {
      nas: seldom,
      forwards: {
        ssh: { remotePort: 2222, target: 22 },
        banner: { remotePort: 2223, target: 22, probe: "banner" },
        web: { remotePort: 8080, target: 5900, listen: "all" },
        unwatched: { remotePort: 5901, target: 5900, probe: "none" },
      },
    });
    await (await openProgram(lab, { config })).up();
  });

  afterAll(() => Lab.clear("forwards"));

  const look = async () => {
    await nas.run("systemctl start ssh-tunnel-nas-watchdog");
    await gate.run(`systemctl start ${healthCheckOf()}`);
  };
  const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  /** Why each forward is down, as both hosts say; "up" where it is not. */
  const states = async () => {
    await look();
    return Promise.all(
      [nas, gate].map(async (host) => {
        const { stdout } = await host.run("ssh-tunnel-status --json nas", { allowFailure: true });
        const { forwards } = (JSON.parse(stdout) as HostStatus).tunnels[0]!;
        return Object.fromEntries(forwards.map(({ forward, reason }) => [forward, reason ?? "up"]));
      }),
    );
  };
  const allUp = { ssh: "up", banner: "up", web: "up" };
  const areUp = () =>
    until("all forwards to be up", 40, async () =>
      (await states()).every((each) => JSON.stringify(sorted(each)) === JSON.stringify(sorted(allUp))),
    );
  const sorted = (map: Record<string, string>) => Object.entries(map).sort();
  const works = async () =>
    (await gate.run("timeout 8 ssh -o ConnectTimeout=5 nas hostname", { allowFailure: true })).stdout ===
    "nas";
  const isTaken = async () => {
    const { stdout } = await gate.run(`ss -Hltne 'sport = :8080' | grep -v "uid:$(id -u tunnel-nas) " || :`);
    return stdout !== "";
  };
  /** Another program on the public host takes port 8080: on IPv4, on IPv6, or on both. */
  const squat = async (family: string) => {
    await gate.run(
      `systemd-run --quiet --unit squatter --uid nobody python3 -c '
import socket, time
s = socket.socket(socket.${family === "IPv4" ? "AF_INET" : "AF_INET6"})
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
${family === "IPv4" ? "" : `s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, ${family === "IPv6" ? 1 : 0})`}
s.bind(("", 8080))
s.listen()
time.sleep(100000)'`,
    );
    await until("the port to be taken", 20, isTaken);
  };
  const leave = async () => {
    await gate.run("systemctl stop squatter", { allowFailure: true });
    await until("the port to be free", 20, async () => !(await isTaken()));
  };
  const restartAfter = async (act: () => Promise<void>) => {
    await nas.run("systemctl stop ssh-tunnel-nas");
    await until("the ports to be free", 20, async () => {
      const { stdout } = await gate.run("ss -Hltn '( sport = :8080 or sport = :2222 )'");
      return stdout === "";
    });
    await act();
    await nas.run("systemctl start ssh-tunnel-nas");
    await until("the tunnel to have its forwards", 30, async () => {
      const { exitCode } = await nas.run("[ -e /run/ssh-tunnel-nas/forwarding ]", { allowFailure: true });
      return exitCode === 0;
    });
  };

  it("are checked without a connection to their target, except for a banner, which leaves no error in its sshd's journal", async () => {
    await areUp();
    const seen = async () => {
      const said = await journal(nas, "-t sshd");
      return {
        connections: (await nas.run("wc -l </run/counted")).stdout,
        errors: await journal(nas, "-t sshd -p err"),
        banners: said.split(/Received disconnect from .*:11: check \[preauth\]/).length,
      };
    };
    const before = await seen();
    for (let run = 0; run < 5; run++) await look();
    // Both checks have looked for the banner of one forward. sshd may log that a moment later.
    const banners = async () => (await seen()).banners;
    await expect
      .poll(banners, { timeout: 60_000, interval: 200 })
      .toBeGreaterThanOrEqual(before.banners + 10);
    const { connections, errors } = await seen();
    expect({ connections, errors }).toEqual({ connections: before.connections, errors: before.errors });
  });

  it.each(["IPv4 and IPv6", "IPv4", "IPv6"])(
    "take no other down if another program has the port of one on %s, both hosts say who, and it listens once that has ended",
    async (family) => {
      await areUp();
      onTestFinished(leave);
      await restartAfter(() => squat(family));
      const connection = await pid();
      expect(await works()).toBe(true);
      const taken = { ...allUp, web: "a program of 'nobody' has the port" };
      expect(await states()).toEqual([taken, taken]);
      expect(await states()).toEqual([taken, taken]);
      await leave();
      await areUp();
      const { stdout } = await gate.run("ss -Hltn 'sport = :8080' | awk '{ print $4 }' | sort");
      expect(stdout.split("\n")).toEqual(["0.0.0.0:8080", "[::]:8080"]);
      expect(await pid()).toBe(connection);
    },
  );

  it("are there again soon, whatever the public host runs at each login", async () => {
    await areUp();
    onTestFinished(async () => {
      await gate.run("rm -f /etc/ssh/sshrc; pkill -x sleep || :");
    });
    await gate.run("echo 'exec sleep 300' >/etc/ssh/sshrc");
    const before = await pid();
    await nas.run(`kill -KILL ${before}`);
    // Well before what runs there has ended, or the tunnel has given it up.
    await until("another tunnel with its forwards", 15, async () => {
      const { exitCode } = await nas.run(
        `cd /run/ssh-tunnel-nas && [ "$(cat pid)" != ${before} ] && [ -e forwarding ]`,
        { allowFailure: true },
      );
      return exitCode === 0;
    });
    expect((await gate.run("ss -Hltn 'sport = :2222'")).stdout).not.toBe("");
  });

  it.each<[string, string, string]>([
    [
      "a rule about sshd's own connections",
      `nft add table inet t; nft 'add chain inet t c { type filter hook output priority 0; }'
       nft add rule inet t c meta skuid tunnel-nas tcp dport '{ 2222, 2223, 8080 }' reject`,
      "nft delete table inet t",
    ],
    [
      "an administrator's PermitOpen",
      `f=$(ls /etc/ssh/sshd_config.d/00-*.conf) && cp -p $f /root/drop-in && sed -i 's/PermitOpen any/PermitOpen none/' $f && systemctl reload ssh`,
      `cp -p /root/drop-in $(ls /etc/ssh/sshd_config.d/00-*.conf) && systemctl reload ssh`,
    ],
  ])(
    "are not mistaken for dead, and the tunnel is not restarted, because of %s",
    async (_what, refuse, undo) => {
      await areUp();
      onTestFinished(async () => {
        await gate.run(undo);
      });
      await gate.run(refuse);
      await nas.run("systemctl restart ssh-tunnel-nas");
      await until("the tunnel to work", 30, works);
      await areUp();
      const before = await pid();
      for (let run = 0; run < 3; run++) await look();
      expect(await pid()).toBe(before);
      expect(await states()).toEqual([allUp, allUp]);
    },
  );

  it("are asked for again if they are cancelled, without a restart", async () => {
    await areUp();
    const before = await pid();
    for (const forward of [
      "127.0.0.1:2222:127.0.0.1:22",
      "*:8080:127.0.0.1:5900",
      "127.0.0.1:5901:127.0.0.1:5900",
    ])
      await nas.run(
        `runuser -u tunnel-nas -- ssh -S /run/ssh-tunnel-nas/control -O cancel -R '${forward}' ssh-tunnel-nas`,
      );
    expect(await states()).toEqual([allUp, allUp]);
    expect((await gate.run("ss -Hltn 'sport = :5901'")).stdout).not.toBe("");
    expect(await works()).toBe(true);
    expect(await pid()).toBe(before);
  });
});
