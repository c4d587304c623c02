import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { until } from "../lab/support/until.ts";

const NAME = "labhosts";
const PORT = 5000;

let lab: Lab;
let gate: Host;
let nas: Host;

async function up(): Promise<void> {
  lab = await Lab.up({ name: NAME, hosts: ["gate", "nas"] });
  gate = lab.host("gate");
  nas = lab.host("nas");
}

const ssh = (...args: string[]) => sshAsUser(lab, ...args);

beforeAll(up, 1_200_000); // the first time, this builds the image
afterAll(() => Lab.clear(NAME));

describe("a host", () => {
  test("answers ssh, with its host key pinned", async () => {
    for (const host of [gate, nas]) {
      expect((await ssh(host.name, "hostname")).stdout).toBe(host.name);
      expect(await readFile(lab.knownHostsFile, "utf8")).toContain(`${host.address},`);
      expect((await host.run("cat /etc/ssh/ssh_host_ed25519_key.pub")).stdout).toContain(host.hostKey);
    }
    expect(gate.hostKey).not.toBe(nas.hostKey);
    expect((await ssh("-o", "UserKnownHostsFile=/dev/null", "gate", "true")).exitCode).toBe(255);
  });

  test("has an admin with sudo and a user without", async () => {
    expect((await ssh("-l", "admin", "gate", "sudo -n id -u")).stdout).toBe("0");
    expect((await ssh("-l", "alice", "gate", "sudo -n id -u")).exitCode).not.toBe(0);
  });

  test("has started all its units, keeps its journal, and runs no firewall", async () => {
    expect((await gate.run("systemctl is-system-running --wait")).stdout).toBe("running");
    expect((await gate.run("ls /var/log/journal")).stdout).not.toBe("");
    const firewalls = await gate.run("systemctl is-active firewalld ufw", { allowFailure: true });
    expect(firewalls.stdout).toBe("inactive\ninactive");
  });

  test("runs sandboxed units", async () => {
    const sandbox = ["ProtectSystem=strict", "PrivateTmp=yes", "PrivateDevices=yes", "DynamicUser=yes"];
    const properties = [...sandbox, "SystemCallFilter=@system-service"].map((property) => `-p ${property}`);
    const command = `systemd-run --quiet --wait --pipe ${properties.join(" ")} sh -c`;
    expect((await gate.run(`${command} 'echo fine'`)).stdout).toBe("fine");
    const refused = await gate.run(`${command} 'touch /etc/x'`, { allowFailure: true });
    expect(refused.stderr).toContain("Read-only file system");
  });

  test("runs a firewall when asked to", async () => {
    await gate.run("systemctl start firewalld && firewall-cmd --state && systemctl stop firewalld");
    await gate.run("ufw allow 22/tcp && ufw --force enable && ufw --force disable");
  });

  test("passes on standard input, and reports which command failed", async () => {
    expect((await gate.run("cat", { input: "a\nb\n" })).stdout).toBe("a\nb");
    expect((await gate.run("exit 3", { allowFailure: true })).exitCode).toBe(3);
    await expect(gate.run("echo no such luck >&2; exit 3")).rejects.toThrow(
      '"echo no such luck >&2; exit 3" on gate failed (exit code 3): no such luck',
    );
  });

  test("with an unknown name is an error that lists the known names", () => {
    expect(() => lab.host("gaet")).toThrow(
      'There is no host "gaet" in the lab "labhosts": it has gate, nas.',
    );
  });
});

describe("a connection from nas to gate", () => {
  /** A stream from gate to nas, so that the kernel of gate has something to retransmit. */
  const server = `import socket, time
s = socket.create_server(("", ${PORT}))
c, _ = s.accept()
while True:
    c.send(b"x"); time.sleep(0.02)`;
  /** Counts on standard output; prints when it gets SIGUSR1. */
  const client = (address: string) => `import os, signal, socket
c = socket.create_connection(("${address}", ${PORT}))
signal.signal(signal.SIGUSR1, lambda *_: c.send(b"x"))
n = 0
while c.recv(1):
    n += 1
    open("/run/count.new", "w").write(str(n))
    os.replace("/run/count.new", "/run/count")`;

  async function connect(): Promise<void> {
    await gate.run("cat >/run/server.py", { input: server });
    await gate.run("systemd-run --quiet --collect --unit=server python3 /run/server.py");
    await until("the server", 20, async () => (await gate.run(`ss -Hltn sport = :${PORT}`)).stdout !== "");
    await nas.run("rm -f /run/count; cat >/run/client.py", { input: client(gate.address) });
    await nas.run("systemd-run --quiet --collect --unit=client python3 /run/client.py");
    await moreThan(5);
    // Everything that could inform nas of the other end's death.
    await nas.run(`nft -f -`, {
      input: `table inet watch
delete table inet watch
table inet watch {
  counter bad {}
  chain in {
    type filter hook input priority 0;
    tcp sport ${PORT} tcp flags & (fin|rst) != 0 counter name bad
    icmp type destination-unreachable counter name bad
  }
}`,
    });
  }
  const received = async () => Number((await nas.run("cat /run/count", { allowFailure: true })).stdout);
  const moreThan = (n: number) => until("data", 30, async () => (await received()) > n);
  const connected = async () => (await nas.run(`ss -Htn state established dport = :${PORT}`)).stdout !== "";
  const bad = async () =>
    /packets (\d+)/.exec((await nas.run("nft list counter inet watch bad")).stdout)?.[1];
  const carrier = async (host: Host) => (await host.run("cat /sys/class/net/eth0/carrier_changes")).stdout;

  test("stalls silently when the link is cut, and continues when it is restored", async () => {
    await connect();
    const carriers = [await carrier(gate), await carrier(nas)];
    await gate.cutLink();
    const refused = async () => (await ssh("-o", "ConnectTimeout=1", "gate", "true")).exitCode === 255;
    // The reader may need a moment for what had already arrived.
    const atCut = await until("silence", 20, async () => {
      const counted = await received();
      return (await refused()) && (await received()) === counted && counted;
    });
    expect((await ssh("nas", "hostname")).stdout).toBe("nas");
    expect(await refused()).toBe(true);
    expect(await received()).toBe(atCut);
    expect(await connected()).toBe(true);
    await gate.restoreLink();
    await moreThan(atCut + 20);
    expect([await carrier(gate), await carrier(nas)]).toEqual(carriers);
    expect(await bad()).toBe("0");
    await nas.run("systemctl stop client");
    await gate.run("systemctl stop server", { allowFailure: true });
  });

  test("does not notice a power cut until it sends something", async () => {
    await connect();
    await gate.powerCut();
    expect(await connected()).toBe(true);
    await expect(gate.run("true")).rejects.toThrow('gate is off: switch it on with "boot gate".');
    await gate.boot();
    expect(await connected()).toBe(true);
    // Longer than the old kernel's pause between two attempts to send.
    const atBoot = await received();
    await nas.run("sleep 2");
    expect(await connected()).toBe(true);
    expect(await received()).toBe(atBoot);
    expect(await bad()).toBe("0");
    await nas.run("systemctl kill --signal=USR1 client");
    await until("the reset", 20, async () => !(await connected()));
    expect(await bad()).toBe("1");
  });

  test("stays cut during a reboot", async () => {
    await gate.cutLink();
    await gate.reboot();
    expect((await ssh("-o", "ConnectTimeout=1", "gate", "true")).exitCode).toBe(255);
    await gate.restoreLink();
    expect((await ssh("gate", "hostname")).stdout).toBe("gate");
  });
});

describe("a disk", () => {
  test("keeps its files through a reboot, which is a separate boot", async () => {
    const bootId = "cat /proc/sys/kernel/random/boot_id";
    const before = await nas.run(`echo kept >/root/kept; nft add table inet gone; ${bootId}`);
    await nas.reboot();
    expect((await nas.run(bootId)).stdout).not.toBe(before.stdout);
    expect((await nas.run("cat /root/kept")).stdout).toBe("kept");
    expect((await nas.run("nft list tables")).stdout).not.toContain("gone");
    expect((await ssh("nas", "hostname")).stdout).toBe("nas");
  });

  test("shows no change after nothing but logins, a reboot and a power cut", async () => {
    const before = await nas.snapshot();
    await ssh("-l", "admin", "nas", "sudo -n true");
    await nas.reboot();
    await nas.powerCut();
    await nas.boot();
    expect(await nas.changesSince(before)).toEqual([]);
  });

  test("shows every kind of change", async () => {
    await nas.run(
      "mkdir /srv/d; echo 1 >/srv/d/old; echo 1 >/srv/same; ln -s a /srv/link; echo 1 >/srv/owned",
    );
    const before = await nas.snapshot();
    await nas.run(
      [
        "echo new >/etc/new; rm /etc/issue; echo more >>/etc/hosts; chmod 600 /etc/passwd; chown alice /srv/owned",
        "ln -sfn b /srv/link; rm -r /srv/d; touch -d 2001-01-01 /srv/same",
        // Hidden by a new directory of the same name, which has one file of the old one.
        "cp -a /etc/pam.d /srv/copy; rm -r /etc/pam.d; mkdir /etc/pam.d; cp -a /srv/copy/sshd /etc/pam.d",
        "rm -r /srv/copy",
        // Undone at once: no changes.
        "touch /etc/brief; rm /etc/brief; chmod 600 /etc/group; chmod 644 /etc/group",
      ].join(";"),
    );
    const changes = await nas.changesSince(before);
    expect(changes.filter((line) => !line.includes("/etc/pam.d"))).toEqual([
      "changed /etc/hosts (content)",
      "removed /etc/issue",
      "added /etc/new",
      "changed /etc/passwd (mode)",
      "removed /srv/d",
      "removed /srv/d/old",
      "changed /srv/link (target)",
      "changed /srv/owned (owner)",
      "changed /srv/same (mtime)",
    ]);
    expect(changes).toContain("removed /etc/pam.d/login");
    expect(changes.join()).not.toContain("/etc/pam.d/sshd");
  });
});
