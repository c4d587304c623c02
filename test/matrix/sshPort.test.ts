import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PublicHost } from "../../components/index.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labHost } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";

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

  it("is not changed if systemd listens for it, and the error says what to do", async () => {
    await gate.run("systemctl stop ssh && systemctl start ssh.socket");
    sshPort = 443;
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): ssh\.socket listens for sshd here, .*ListenStream=443/,
    );
    await gate.run("systemctl stop ssh.socket ssh && systemctl start ssh");
  });

  it("is not changed if its command line says where it listens", async () => {
    await gate.run(
      "systemctl stop ssh && mkdir -p /run/sshd && systemd-run --quiet --unit sshd /usr/sbin/sshd -D -p 22",
    );
    sshPort = 443;
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): sshd cannot be made to listen on port 443 as well/,
    );
    await gate.run("systemctl stop sshd && systemctl start ssh");
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
