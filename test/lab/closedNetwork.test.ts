import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { until } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack, Result } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { journal } from "./support/journal.ts";
import { leftovers } from "./support/leftovers.ts";

/** An internal host that reaches nothing but the machine at the edge of its network, with its proxies and its sshd. */
describe("from a network that lets nothing else out, a tunnel", () => {
  const password = `pa:ss-${randomBytes(12).toString("hex")}`;
  /** What only the edge can look up. */
  const gateName = "gate.example.net";

  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let edge: Host;
  let stack: LabStack;
  let before: Snapshot[];

  beforeAll(async () => {
    const packages = ["tinyproxy", "squid", "dante-server"];
    lab = await Lab.up({ name: "closed", hosts: ["gate", "nas", { name: "edge", packages }] });
    [gate, nas, edge] = [lab.host("gate"), lab.host("nas"), lab.host("edge")];
    await edge.run(setUpEdge(gate.address), { input: password });
    await nas.run(`nft -f -`, {
      input: `table inet closed {
        chain out {
          type filter hook output priority 0; policy drop;
          oif lo accept
          icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
          ip daddr { ${edge.address}, ${gate.address.replace(/\d+$/, "1")} } accept
          tcp dport 22 reject with tcp reset
        }
      }\n`,
    });
    before = await Promise.all([gate, nas].map((host) => host.snapshot()));
    stack = await openProgram(lab);
  });

  afterAll(async () => {
    await lab?.down();
  });

  /** What leads out, in place of what did before. */
  const use = async (way: Record<string, unknown>, ofGate: Record<string, unknown> = {}) => {
    await stack.setConfig({
      publicHosts: {
        gate: {
          ...labAdmin(lab, gate),
          ...ofGate,
          address: gateName,
          admin: { ...labAdmin(lab, gate).admin, address: gate.address },
        },
      },
      internalHosts: {
        nas: {
          ...labAdmin(lab, nas),
          forwards: { ssh: { remotePort: 2222, target: 22 } },
          logins: [{ from: "root", to: "root" }],
          timeoutSec: 15,
          ...way,
        },
      },
    });
  };
  const proxy = (url: string, login?: object) => ({ proxy: { url, ...login } });
  const site = { user: "site", password };
  const jump = () => ({ proxyJump: { address: edge.address, user: "relay", hostKey: edge.hostKey } });

  const works = async () =>
    (await gate.run("timeout 5 ssh -o ConnectTimeout=2 nas hostname", { allowFailure: true })).stdout ===
    "nas";
  const tunnelPid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const another = async (pid: string) => {
    await until("another tunnel", 20, async () => !["0", pid].includes(await tunnelPid()));
    await until("the tunnel to work", 15, works);
  };

  /** The faults of a tunnel, with the limits that the soak has for them. */
  const comesBack = async () => {
    let pid = await tunnelPid();
    await nas.run(`kill -9 ${pid}`);
    await another(pid);
    pid = await tunnelPid();
    await gate.run("pkill -9 -u tunnel-nas sshd");
    await another(pid);
    pid = await tunnelPid();
    await edge.cutLink();
    await until("the keep-alives to notice", 20, async () => (await tunnelPid()) !== pid);
    await edge.restoreLink();
    await until("the tunnel to work", 15, works);
  };

  it("does not come up by itself, and the error says so", async () => {
    await use({});
    expect(await failedUp(stack)).toMatch(/error: gate \(.*\): .*tunnel/);
    await stack.destroy();
  });

  const ways: [string, number, () => Record<string, unknown>][] = [
    ["an HTTP proxy (tinyproxy)", 8888, () => proxy(`http://${edge.address}:8888`)],
    ["an HTTP proxy with a password (squid)", 3128, () => proxy(`http://${edge.address}:3128`, site)],
    ["a SOCKS5 proxy (dante)", 1080, () => proxy(`socks5://${edge.address}:1080`)],
    ["a SOCKS5 proxy with a password (dante)", 1081, () => proxy(`socks5://${edge.address}:1081`, site)],
  ];

  it.each(ways)("comes up through %s, and comes back through it after each fault", async (_, port, way) => {
    await use(way());
    await stack.up();
    expect(await works()).toBe(true);
    const { stdout } = await nas.run("ss -Htn state established | awk '{ print $4 }'");
    expect(stdout.split("\n")).toContain(`${edge.address}:${port}`);
    await comesBack();
    expect((await stack.up()).changes).toEqual({ same: expect.any(Number) as number });
  });

  it("keeps the password of its proxy in one file that only its account can read", async () => {
    const { stdout: file } = await nas.run(
      "stat -c '%a %U' /var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas.proxy",
    );
    expect(file).toBe("600 tunnel-nas");
    const words = [password, Buffer.from(`site:${password}`).toString("base64")];
    const looks = [
      nas.run("cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' '\\n'"),
      nas.run("cat /etc/systemd/system/ssh-tunnel-nas* /var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas.conf"),
      nas.run("cat /var/lib/ssh-reverse-tunnel/*/*"),
    ];
    const texts = (await Promise.all(looks)).map(({ stdout }) => stdout);
    texts.push(await journal(nas), JSON.stringify(await stack.export()));
    for (const text of texts) for (const word of words) expect(text.includes(word)).toBe(false);
  });

  it("connects from its new address at once, although it has no connection of its own", async () => {
    const { stdout: address } = await nas.run("ip -4 -o address show eth0 | awk '{ print $4 }'");
    const other = address.replace(/\.\d+\//, ".77/");
    const renumber = (from: string, to: string) =>
      nas.run(`ip address del ${from} dev eth0 && ip address add ${to} dev eth0`);
    const pid = await tunnelPid();
    await renumber(address, other);
    await another(pid);
    expect(await journal(nas, "-u ssh-tunnel-nas.service")).toMatch(
      /the network has changed: the address \S+ of the tunnel's connection is gone/,
    );
    await renumber(other, address);
    await until("the tunnel to work", 15, works);
  });

  it("stays as it was if the new proxy refuses the password, and the error says so", async () => {
    const pid = await tunnelPid();
    await use(proxy(`http://${edge.address}:3128`, { user: "site", password: "wrong" }));
    expect(await failedUp(stack)).toMatch(
      /error: nas \(.*\): the tunnel did not come up with its new settings in 15s \(no way to the public host: the proxy \S+:3128 wants another user or password \(HTTP\/1\.1 407/,
    );
    await another(pid);
    const { stdout } = await nas.run("ss -Htn state established | awk '{ print $4 }'");
    expect(stdout.split("\n")).toContain(`${edge.address}:1081`);
  });

  it("says that its proxy is down, and is back when that is", async () => {
    await use(proxy(`http://${edge.address}:8888`));
    await stack.up();
    await edge.run("systemctl stop tinyproxy");
    await until("the reason", 20, async () =>
      (await journal(nas, "-u ssh-tunnel-nas.service")).includes(
        `no way to the public host: the proxy ${edge.address}:8888 cannot be reached (Connection refused)`,
      ),
    );
    await edge.run("systemctl start tinyproxy");
    await until("the tunnel to work", 15, works);
  });

  let up: Result;
  it("is let through a jump host by the line that the error of the first 'pulumi up' shows", async () => {
    await use(jump());
    const failure = await failedUp(stack);
    expect(failure).toMatch(
      /no way to the public host: relay@\S+: Permission denied \(publickey,password\); if it is/,
    );
    const [, line] =
      /on \S+: (restrict,port-forwarding,permitopen="gate\.example\.net:22" ssh-ed25519 \S+ ssh-tunnel-nas)/.exec(
        failure,
      )!;
    await edge.run(
      "install -d -m 700 -o relay ~relay/.ssh && cat >~relay/.ssh/authorized_keys && chown relay ~relay/.ssh/authorized_keys",
      {
        input: `${line}\n`,
      },
    );
    up = await stack.up();
    expect(up.changes["delete"]).toBeUndefined();
    expect(await works()).toBe(true);
    await comesBack();
  });

  it("does not log in to a jump host that has another host key", async () => {
    await use({ proxyJump: { ...jump().proxyJump, hostKey: gate.hostKey } });
    expect(await failedUp(stack)).toMatch(
      /no login to the public host succeeds .*\(Host key verification failed\)/,
    );
    await until("the tunnel to work", 15, works);
  });

  it("goes through a proxy to a jump host", async () => {
    await use({ ...proxy(`http://${edge.address}:3128`, site), ...jump() });
    await stack.up();
    expect(await works()).toBe(true);
    await use(jump());
    await stack.up();
    const { exitCode } = await nas.run("ls /var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel/nas.proxy", {
      allowFailure: true,
    });
    expect(exitCode).not.toBe(0);
  });

  it("keeps the port of the public host that it comes in at, until it comes in at another one", async () => {
    const socks = proxy(`socks5://${edge.address}:1080`);
    await use(socks, { sshPort: 443, listenOnSshPort: true });
    await stack.up();
    expect(await works()).toBe(true);
    await use(socks);
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): sshd would no longer listen on port 443, where tunnels come in \(tunnel-nas\); first write 'Port 443'/,
    );
    expect(await works()).toBe(true);
    const own = "/etc/ssh/sshd_config.d/ports.conf";
    await gate.run(`printf 'Port 22\\nPort 443\\n' >${own} && sshd -t`);
    await stack.up();
    await gate.run(`rm ${own} && systemctl reload ssh`);
    expect((await gate.run("ss -Htln 'sport = :443'")).stdout).toBe("");
    await until("the tunnel to work", 15, works);
  });

  it("leaves nothing when it is removed", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before[0]!)).toEqual([]);
    expect(await leftovers(nas, before[1]!)).toEqual([]);
  });
});

/** The proxies of Debian; standard input is the password. */
const setUpEdge = (gate: string) => `
  password=$(cat)
  echo '${gate} gate.example.net' >>/etc/hosts
  useradd --no-create-home site && echo "site:$password" | chpasswd
  useradd --create-home --password '*' relay

  cat >/etc/tinyproxy/tinyproxy.conf <<'EOT'
User tinyproxy
Group tinyproxy
Port 8888
Timeout 600
MaxClients 100
Allow 198.18.0.0/15
ConnectPort 22
EOT

  printf 'site:%s\\n' "$(getent shadow site | cut -d: -f2)" >/etc/squid/passwords
  cat >/etc/squid/squid.conf <<'EOT'
http_port 3128
auth_param basic program /usr/lib/squid/basic_ncsa_auth /etc/squid/passwords
acl known proxy_auth REQUIRED
acl ssh port 22
http_access deny !ssh
http_access allow CONNECT known
http_access deny all
cache deny all
shutdown_lifetime 1 seconds
EOT

  socks() {
    cat >"/etc/danted-$1.conf" <<EOT
internal: eth0 port = $1
external: eth0
clientmethod: none
socksmethod: $2
user.privileged: root
user.unprivileged: nobody
client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
EOT
    systemd-run --quiet --unit "socks-$1" danted -f "/etc/danted-$1.conf" -p "/run/danted-$1.pid"
  }
  socks 1080 none
  socks 1081 username
  systemctl restart tinyproxy squid
  for port in 8888 3128 1080 1081; do
    until ss -Htln | grep -q ":$port "; do sleep 0.1; done
  done`;
