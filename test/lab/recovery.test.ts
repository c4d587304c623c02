import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { journal } from "./support/journal.ts";
import { tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

/** A tunnel that was cut by something that its host can detect is back before the keep-alives notice. */
describe("a tunnel whose network changes", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;

  beforeAll(async () => {
    lab = await Lab.up({ name: "recovery", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    // Keep-alives that would take minutes: a tunnel that is back sooner has not waited for them.
    const keepAlive = { serverAliveIntervalSec: 60, serverAliveCountMax: 3 };
    const settings = tunnelSettings(lab, gate, nas, { nas: { keepAlive, watchdogIntervalSec: 600 } });
    stack = await openProgram(lab, { config: settings });
    await stack.up();
  });

  afterAll(async () => {
    await lab?.down();
  });

  const tunnelPid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const said = () => journal(nas, "-u ssh-tunnel-nas.service");
  const works = async () =>
    (await gate.run("timeout 5 ssh -o ConnectTimeout=2 nas hostname", { allowFailure: true })).stdout ===
    "nas";
  /** The address that nas has, and one that it may change to. */
  const addresses = async (): Promise<[string, string]> => {
    const { stdout } = await nas.run("ip -4 -o address show eth0 | awk '{ print $4 }'");
    return [stdout, stdout.replace(/\.\d+\//, ".77/")];
  };
  const renumber = (from: string, to: string) =>
    nas.run(`ip address del ${from} dev eth0 && ip address add ${to} dev eth0`);
  /** Silently drops all packets of the existing connection from now on. */
  const forgetConnection = () =>
    gate.run(`
      nft add table inet forget
      nft add chain inet forget in '{ type filter hook input priority 0; }'
      for port in $(ss -Htn state established 'sport = :22' | sed -n 's/.*:\\([0-9]*\\) *$/\\1/p'); do
        nft add rule inet forget in tcp dport 22 tcp sport "$port" drop
      done`);

  it("connects at once from its new address", async () => {
    const pid = await tunnelPid();
    await nas.run("ip address add 198.18.255.77/32 dev eth0 && ip address del 198.18.255.77/32 dev eth0");
    expect(await tunnelPid()).toBe(pid); // that was not the address of its connection
    const [address, other] = await addresses();
    await renumber(address, other);
    await until("the tunnel to come back", 20, works);
    expect(await said()).toMatch(
      /the network has changed: the address \S+ of the tunnel's connection is gone/,
    );
    await renumber(other, address);
    await until("the tunnel to come back", 20, works);
  });

  it("also connects from its new address if some other link has no carrier, such as a bridge without containers", async () => {
    await nas.run(`ip link add spare type veth peer name other && ip address add 172.18.0.1/16 dev spare
      ip link set spare up && ip route | grep -q linkdown
      systemctl restart ssh-tunnel-nas`);
    await until("the tunnel to come back", 20, works);
    const pid = await tunnelPid();
    const [address, other] = await addresses();
    await renumber(address, other);
    await until("another tunnel", 20, async () => (await tunnelPid()) !== pid);
    await renumber(other, address);
    await nas.run("ip link del spare");
    await until("the tunnel to come back", 20, works);
  });

  it("reconnects if the default route moves and the connection is dead", async () => {
    await forgetConnection();
    const pid = await tunnelPid();
    await nas.run(`ip route add default via ${gate.address}`);
    await until("another tunnel", 20, async () => (await tunnelPid()) !== pid); // it waits for 10 s
    await until("the tunnel to come back", 20, works);
    expect(await said()).toContain("the network has changed: the tunnel's connection is dead");
    await gate.run("nft delete table inet forget");
  });

  it("keeps a connection that a change of routes does not affect", async () => {
    const pid = await tunnelPid();
    // The refusal in the public host's journal proves that it has checked and asked.
    const refusals = async () => (await journal(gate, "-t sshd")).split("127.0.0.1 port 1,").length;
    const earlier = await refusals();
    await nas.run("ip route add 192.0.2.0/24 dev eth0 && ip route del default");
    await until("the question to be answered", 20, async () => (await refusals()) > earlier);
    expect(await tunnelPid()).toBe(pid);
    expect(await works()).toBe(true);
  });

  it("keeps its connection if a cable is unplugged for a moment", async () => {
    const pid = await tunnelPid();
    await nas.run("ip link set eth0 down && sleep 0.5 && ip link set eth0 up");
    await until("the tunnel to work", 20, works);
    expect(await tunnelPid()).toBe(pid);
  });

  it("does not wait for the end of a pause when the network is back or when somebody starts it", async () => {
    const longDown = async () => nas.run(`${downForHours}; kill -9 ${await tunnelPid()}`);
    const waits = async () =>
      (await nas.run("test -e /run/ssh-tunnel-nas/waiting", { allowFailure: true })).exitCode === 0;
    await longDown();
    await until("the tunnel to pause", 20, waits);
    await nas.run("ip address add 198.18.255.77/32 dev eth0");
    await until("the tunnel to come back", 20, works);
    await longDown();
    await until("the tunnel to pause", 20, waits);
    await nas.run("systemctl restart ssh-tunnel-nas");
    await until("the tunnel to come back", 20, works);
  });

  it("forgets how long it was down when somebody stops it", async () => {
    await nas.run(`${downForHours}; systemctl restart ssh-tunnel-nas`);
    await until("the tunnel to come back", 20, works);
  });

  it("stays up, with its own keep-alive, on a link that loses every fifth packet", async () => {
    await stack.setConfig(tunnelSettings(lab, gate, nas));
    await stack.up();
    const pid = await tunnelPid();
    const lose = `
      nft add table inet lose
      nft add chain inet lose in '{ type filter hook input priority 0; }'
      nft add rule inet lose in iif eth0 numgen inc mod 5 0 drop`;
    await Promise.all([gate, nas].map((host) => host.run(lose)));
    for (let logins = 0; logins < 10; logins += 1) await until("a login", 30, works);
    expect(await tunnelPid()).toBe(pid);
    await Promise.all([gate, nas].map((host) => host.run("nft delete table inet lose")));
  });

  it("is not affected by its host's ssh configuration for all hosts", async () => {
    await nas.run(`cat >/etc/ssh/ssh_config.d/all.conf <<EOT
Host *
  ControlMaster auto
  ControlPath ~/.ssh/%C
  ControlPersist 10m
  RemoteForward 127.0.0.1:2222 127.0.0.1:1
  LocalForward 127.0.0.1:22 127.0.0.1:22
  RemoteCommand false
EOT
      systemctl restart ssh-tunnel-nas`);
    await until("the tunnel to come back", 20, works);
    expect((await nas.run("systemctl show -P NRestarts ssh-tunnel-nas")).stdout).toBe("0");
    await nas.run("rm /etc/ssh/ssh_config.d/all.conf");
  });

  it("gives the reason for its failure in its last message if its port is taken", async () => {
    await nas.run("systemctl stop ssh-tunnel-nas");
    const isFree = async () => (await gate.run("ss -Htln 'sport = :2222'")).stdout === "";
    await until("the port to be free", 20, isFree);
    await gate.run(
      `systemd-run --quiet --unit taken perl -MIO::Socket::INET -e '
        IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 2222, Listen => 1, ReuseAddr => 1) && sleep'`,
    );
    await until("the port to be taken", 20, async () => !(await isFree()));
    await nas.run("systemctl start ssh-tunnel-nas");
    // As the confirmation of a change finds it.
    const last = () => journal(nas, "-n 1 _SYSTEMD_UNIT=ssh-tunnel-nas.service _COMM=ssh");
    const refused = "remote port forwarding failed for listen port 2222";
    await until("the reason", 20, async () => (await last()).includes(refused));
    await gate.run("systemctl stop taken");
    await until("the tunnel to come back", 20, works);
  });

  it("works without watching the network if there is no ip command", async () => {
    await nas.run(
      "mv /usr/bin/ip /usr/bin/ip.away; mv /usr/sbin/ip /usr/sbin/ip.away; systemctl restart ssh-tunnel-nas",
    );
    await until("the tunnel to come back", 20, works);
    expect((await nas.run("pgrep -c -u tunnel-nas")).stdout).toBe("1");
  });
});

/** As if it had been down for hours, and had just tried again. */
const downForHours = `
  now=$(cut -d' ' -f1 /proc/uptime | tr -d .)
  echo "$((now - 1000000)) $now" >/run/ssh-tunnel-nas/down-since`;
