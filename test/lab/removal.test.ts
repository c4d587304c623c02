import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { type LabStack } from "../../lab/stack.ts";
import { fillHost } from "./support/fullHost.ts";
import { type HostState, expectAsBefore, hostState } from "./support/hostState.ts";
import { journal } from "./support/journal.ts";
import { oneIn, sometimes } from "./support/sample.ts";
import { sshAsUser } from "./support/ssh.ts";
import { until } from "./support/until.ts";

let lab: Lab;
let gate: Host;
let nas: Host;
let shop: Host;
let stack: LabStack;

beforeAll(async () => {
  lab = await Lab.up({ name: "cleanup2", hosts: ["gate", "nas", "shop"] });
  [gate, nas, shop] = [lab.host("gate"), lab.host("nas"), lab.host("shop")];
  await Promise.all([gate, nas].map(fillHost));
  stack = await openProgram(lab);
});

afterAll(() => Lab.clear("cleanup2"));

const hosts = () => [gate, nas, shop];
const states = () => Promise.all(hosts().map(hostState));
const expectAllAsBefore = (before: HostState[]) =>
  Promise.all(hosts().map((host, index) => expectAsBefore(host, before[index]!)));

/** Settings of tunnels to gate by name, each with its internal host and its first port. */
const settings = (tunnels: Record<string, [host: Host, port: number]>) => ({
  publicHosts: { gate: labAdmin(lab, gate) },
  internalHosts: Object.fromEntries(
    Object.entries(tunnels).map(([name, [host, port]]) => [
      name,
      {
        ...labAdmin(lab, host),
        forwards: {
          ssh: { remotePort: port, target: 22 },
          data: { remotePort: port + 1, target: 9000, protocol: "tcp" },
        },
        logins: [{ from: "root", to: "root" }],
      },
    ]),
  ),
});

sometimes.describe("the whole program on hosts whose sshd admits only named accounts", () => {
  const accounts = ["root", "admin", "alice", "dave"];
  const mayLogIn = async () => {
    const logins = await Promise.all(accounts.map((user) => sshAsUser(lab, "-l", user, "gate", "true")));
    return accounts.filter((_, index) => logins[index]!.exitCode === 0);
  };

  beforeAll(async () => {
    // A user who has a key but is not listed.
    await gate.run(`useradd --create-home --password '*' dave && cp -r /home/admin/.ssh /home/dave/.ssh &&
      chown -R dave: /home/dave/.ssh`);
  });

  it.each([
    ["before", "true"],
    ["after", "cd /etc/ssh/sshd_config.d && mv 00-a.conf 60-a.conf && systemctl reload ssh"],
  ])("leaves them as they were after up and destroy, if the names sort %s ours", async (_, command) => {
    await gate.run(command);
    const before = await states();
    expect(await mayLogIn()).toEqual(["root", "admin", "alice"]);
    await stack.setConfig(settings({ nas: [nas, 2222] }));
    await stack.up();
    expect((await gate.run("ssh nas hostname")).stdout).toBe("nas");
    expect(await mayLogIn()).toEqual(["root", "admin", "alice"]);
    await stack.destroy();
    expect(await mayLogIn()).toEqual(["root", "admin", "alice"]);
    await expectAllAsBefore(before);
  });
});

describe("the removal of one tunnel of several to a public host", () => {
  let before: HostState[];

  /** Sends blocks that are never repeated until it is told to stop, and records the hash of what it sent. */
  const sender = `import hashlib, os, socket, time
s = socket.create_server(("127.0.0.1", 9000))
while True:
    c, _ = s.accept()
    n, sent = 0, hashlib.sha256()
    try:
        while not os.path.exists("/run/stop"):
            block = hashlib.sha256(b"%d" % n).digest() * 512
            c.sendall(block)
            sent.update(block)
            n += 1
            time.sleep(0.02)
    except OSError:
        continue
    c.close()
    open("/run/sent", "w").write("%d %s" % (n * 16384, sent.hexdigest()))
    break`;
  const receiver = `import hashlib, socket
c = socket.create_connection(("127.0.0.1", 2223))
n, got = 0, hashlib.sha256()
while block := c.recv(65536):
    n += len(block)
    got.update(block)
    open("/run/count", "w").write(str(n))
open("/run/got", "w").write("%d %s" % (n, got.hexdigest()))`;

  const received = async () => Number((await gate.run("cat /run/count", { allowFailure: true })).stdout);

  /** What must stay the same for the tunnel nas. */
  const running = async () => ({
    services: (
      await nas.run("systemctl show -P MainPID -P NRestarts -P ActiveEnterTimestampMonotonic ssh-tunnel-nas")
    ).stdout,
    connection: (
      await nas.run("ss -Htnp 'dport = :22' | grep pid=$(systemctl show -P MainPID ssh-tunnel-nas),")
    ).stdout.replace(/^ESTAB +\d+ +\d+ +/, ""), // the send queue, which changes the width of the columns
    session: (await gate.run("pgrep -u tunnel-nas sshd")).stdout,
    sshd: (await gate.run("systemctl show -P MainPID -P ActiveEnterTimestampMonotonic ssh")).stdout,
    reloads: (await journal(gate, "-u ssh")).split("SIGHUP").length,
  });

  beforeAll(async () => {
    before = await states();
    await stack.setConfig(settings({ nas: [nas, 2222], nas2: [nas, 2232], shop: [shop, 2242] }));
    await stack.up();
    await nas.run(
      "cat >/run/sender.py && systemd-run --quiet --collect --unit sender python3 /run/sender.py",
      {
        input: sender,
      },
    );
    await until("the sender", 20, async () => (await nas.run("ss -Hltn 'sport = :9000'")).stdout !== "");
    await gate.run(
      "cat >/run/receiver.py && systemd-run --quiet --collect --unit receiver python3 /run/receiver.py",
      {
        input: receiver,
      },
    );
    await until("the first bytes", 20, async () => (await received()) > 0);
  });

  const removals: [string, string, () => Parameters<typeof settings>[0]][] = [
    ["the same internal host", "nas2", () => ({ nas: [nas, 2222], shop: [shop, 2242] })],
    ["another internal host", "shop", () => ({ nas: [nas, 2222] })],
  ];

  it.each(oneIn(2, removals, "removals"))(
    "leaves the others alone if it is one of %s: no restart, no reload, every connection the same",
    async (_, removed, others) => {
      const [start, at] = [await running(), await received()];
      expect(start.session.split("\n")).toHaveLength(1);
      expect(start.connection).toContain(`${gate.address}:22`);
      expect((await gate.run(`pgrep -u tunnel-${removed} sshd`)).stdout).not.toBe("");
      await stack.setConfig(settings(others()));
      await stack.up();
      expect(await running()).toEqual(start);
      await until("further bytes", 20, async () => (await received()) > at);
      for (const [index, host] of hosts().entries()) {
        const { disk } = before[index]!;
        expect((await host.changesSince(disk)).filter((line) => line.includes(removed))).toEqual([]);
        const account = `tunnel-[${removed[0]}]${removed.slice(1)}`; // which does not find itself
        const traces = `getent passwd | grep ${account}; pgrep -af ${account}; systemctl list-units --all | grep ${account}`;
        expect((await host.run(traces, { allowFailure: true })).stdout).toBe("");
      }
    },
  );

  it("loses no byte of a transfer through another one", async () => {
    await nas.run("touch /run/stop");
    await until("the end of the transfer", 20, async () =>
      (await gate.run("ls /run")).stdout.includes("got"),
    );
    const sent = (await nas.run("cat /run/sent")).stdout;
    expect(Number(sent.split(" ")[0])).toBeGreaterThan(100_000);
    expect((await gate.run("cat /run/got")).stdout).toBe(sent);
  });

  sometimes.it("leaves every host as it was after the last is destroyed", async () => {
    await stack.destroy();
    await gate.run("rm /run/receiver.py /run/count /run/got");
    await nas.run("rm /run/sender.py /run/sent /run/stop");
    await expectAllAsBefore(before);
  });
});
