import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PublicHost } from "../../components/index.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labHost } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { sshAsUser } from "../lab/support/ssh.ts";
import { until } from "../lab/support/until.ts";

/** A public host whose sshd also listens on 443. */
describe("the sshd of a public host with listenOnSshPort", () => {
  let lab: Lab;
  let gate: Host;
  let stack: LabStack;
  let sshPort: number | undefined;
  let revision = 0;

  beforeAll(async () => {
    lab = await Lab.up({ name: "sshport", hosts: ["gate"] });
    gate = lab.host("gate");
    await gate.run("cp -a /etc/ssh /root/ssh");
    stack = await open("s");
  });

  afterAll(() => Lab.clear("sshport"));

  const open = (name: string) =>
    openStack({
      project: "p",
      stack: name,
      program: () => {
        const { connection } = labHost(lab, gate);
        const args = { connection, revision: String(revision++), sshPort: sshPort ?? 22 };
        return Promise.resolve(
          void new PublicHost("gate", { ...args, listenOnSshPort: sshPort !== undefined }),
        );
      },
      directory: `${lab.directory}/stacks/${name}`,
    });

  afterEach(async () => {
    await stack.destroy();
    sshPort = undefined;
    await gate.run(
      "rm -rf /etc/ssh && cp -a /root/ssh /etc/ssh && systemctl reset-failed ssh; systemctl restart ssh",
    );
  });

  const listeners = async () => (await gate.run("ss -Hltn | awk '{ print $4 }' | sort")).stdout.split("\n");
  const both = (port: number) => [`0.0.0.0:${port}`, `[::]:${port}`];
  const configure = (text: string) =>
    gate.run(`printf '${text}' >/etc/ssh/sshd_config.d/50-own.conf && systemctl restart ssh`);

  it.each([
    ["says nothing of ports", "", [...both(22), ...both(443)]],
    ["has a Port", "Port 22\\n", [...both(22), ...both(443)]],
    ["has two", "Port 22\\nPort 2222\\n", [...both(22), ...both(2222), ...both(443)]],
    ["has a ListenAddress", "ListenAddress 0.0.0.0\\n", ["0.0.0.0:22", "0.0.0.0:443"]],
    ["has a ListenAddress with a port", "ListenAddress 0.0.0.0:22\\n", ["0.0.0.0:22", "0.0.0.0:443"]],
    ["listens there already", "Port 22\\nPort 443\\n", [...both(22), ...both(443)]],
  ])("listens there too, and where it did before, if its configuration %s", async (_, text, expected) => {
    await configure(text);
    const before = await listeners();
    sshPort = 443;
    await stack.up();
    expect(await listeners()).toEqual([...expected].sort());
    const again = await stack.up();
    expect(again.stdout).not.toMatch(/\bchanged: /);
    sshPort = undefined;
    await stack.up();
    expect(await listeners()).toEqual(before);
  });

  it("keeps its listeners when the port changes", async () => {
    sshPort = 443;
    await stack.up();
    sshPort = 8443;
    await stack.up();
    expect(await listeners()).toEqual([...both(22), ...both(8443)].sort());
  });

  it("is not changed if a program has the port, and the error names it", async () => {
    await gate.run("systemd-run --quiet --unit web busybox httpd -f -p 443 -h /srv");
    const before = await listeners();
    sshPort = 443;
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): port 443, which sshd is to listen on, is in use by busybox \(pid \d+\); end that, .*sslh/,
    );
    expect(await listeners()).toEqual(before);
    await gate.run("systemctl stop web");
  });

  const socket = async (setUp: string, run: () => Promise<void>) => {
    await gate.run(`${setUp} systemctl daemon-reload && systemctl stop ssh && systemctl start ssh.socket`);
    try {
      await run();
    } finally {
      await stack.destroy();
      await gate.run(
        `rm -rf ${generator} /etc/systemd/system/ssh.socket.d /etc/systemd/system/ssh.service.requires
        systemctl daemon-reload && systemctl stop ssh.socket ssh && systemctl start ssh`,
      );
    }
  };

  it("is not changed if systemd listens for it, and what the error says to do does as well", () =>
    socket("", async () => {
      sshPort = 443;
      const failure = await failedUp(stack);
      expect(failure).toMatch(
        /error: gate \(.*\): ssh\.socket listens for sshd here, .*'ListenStream=443' below '\[Socket\]'/,
      );
      await gate.run(
        "mkdir /etc/systemd/system/ssh.socket.d && printf '[Socket]\\nListenStream=443\\n' >/etc/systemd/system/ssh.socket.d/override.conf && systemctl daemon-reload",
      );
      const [, commands] = /run '(systemctl stop [^']*)'/.exec(failure)!;
      // As somebody who has logged in: sshd runs.
      expect((await sshAsUser(lab, "gate", commands!)).exitCode).toBe(0);
      expect(await listeners()).toEqual(["*:22", "*:443"]);
      sshPort = undefined;
      await stack.up();
      expect((await sshAsUser(lab, "-p", "443", "gate", "true")).exitCode).toBe(0);
    }));

  it("listens there too if systemd listens for it, but where its configuration says", () =>
    socket(asOnUbuntu, async () => {
      const before = await listeners();
      expect(before).toEqual(both(22));
      sshPort = 443;
      await stack.up();
      expect(await listeners()).toEqual([...both(22), ...both(443)].sort());
      for (const port of ["22", "443"])
        expect((await sshAsUser(lab, "-p", port, "gate", "true")).exitCode).toBe(0);
      expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
      sshPort = 8443;
      await stack.up();
      expect(await listeners()).toEqual([...both(22), ...both(8443)].sort());
      sshPort = undefined;
      await stack.up();
      expect(await listeners()).toEqual(before);
      sshPort = 443;
      await gate.run(letNobodyIn);
      expect(await failedUp(stack)).toMatch(
        /cannot be reached on port 22; .* the host rolls it back by itself/,
      );
      await until("the host to take it back", 70, async () => (await listeners()).length === 2);
      await until("the trial to end", 10, async () => {
        const { stdout } = await gate.run("ls -d /var/lib/*-rollback 2>/dev/null || :");
        return stdout === "";
      });
      await gate.run("nft delete table inet cut");
      expect(await listeners()).toEqual(before);
      await stack.up();
      expect(await listeners()).toEqual([...both(22), ...both(443)].sort());
      await stack.destroy();
      expect(await listeners()).toEqual(before);
    }));

  it("is not changed if its command line says where it listens", async () => {
    await gate.run(
      "cp -a /etc/default/ssh /root/default && echo 'SSHD_OPTS=\"-p 22\"' >/etc/default/ssh && systemctl restart ssh",
    );
    sshPort = 443;
    const failure = await failedUp(stack);
    await gate.run("mv /root/default /etc/default/ssh");
    expect(failure).toMatch(/error: gate \(.*\): sshd cannot be made to listen on port 443 as well/);
  });

  it("has one stack that adds a port, and others are refused", async () => {
    sshPort = 443;
    await stack.up();
    const other = await open("other");
    sshPort = 8443;
    expect(await failedUp(other)).toMatch(
      /error: gate \(.*\): another stack has sshd listen on one more port/,
    );
    await other.destroy();
    expect(await listeners()).toEqual([...both(22), ...both(443)].sort());
  });

  it("can be reached there through the firewall", async () => {
    await gate.run("ufw allow 22/tcp && ufw --force enable");
    const reachable = async () => (await gate.run("ufw status")).stdout.includes("443/tcp");
    sshPort = 443;
    await stack.up();
    expect(await reachable()).toBe(true);
    await stack.destroy();
    expect(await reachable()).toBe(false);
    await gate.run("ufw --force reset");
  });
});

const generator = "/usr/lib/systemd/system-generators/sshd-socket-generator";

/** The socket, the generator and the requirement of Ubuntu's openssh-server since 24.10. */
const asOnUbuntu = `
  cat >${generator} <<'EOT'
#!/bin/sh
mkdir -p /run/sshd "$1/ssh.socket.d"
listeners=$(/usr/sbin/sshd -T | sed -n 's/^listenaddress /ListenStream=/p')
printf '[Socket]\\nListenStream=\\n%s\\n' "$listeners" >"$1/ssh.socket.d/addresses.conf"
EOT
  chmod 755 ${generator}
  mkdir -p /etc/systemd/system/ssh.socket.d /etc/systemd/system/ssh.service.requires
  printf '[Unit]\\nBefore=ssh.service\\n[Socket]\\nBindIPv6Only=ipv6-only\\nFreeBind=yes\\n' >/etc/systemd/system/ssh.socket.d/ubuntu.conf
  ln -s /lib/systemd/system/ssh.socket /etc/systemd/system/ssh.service.requires/ssh.socket
`;

/** From the moment when a change is active. */
const letNobodyIn = `systemd-run --quiet --collect --unit cut sh -c '
  until ls /var/lib/*-rollback/active 2>/dev/null; do sleep 0.01; done
  nft "table inet cut { chain in { type filter hook input priority -300; tcp dport 22 ct state new drop; }; }"'`;
