import { existsSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { journal } from "./support/journal.ts";
import { leftovers } from "./support/leftovers.ts";
import { sometimes } from "./support/sample.ts";
import { until } from "./support/until.ts";

let lab: Lab;
let gate: Host;
let nas: Host;
let before: Record<string, Snapshot>;

beforeAll(async () => {
  lab = await Lab.up({ name: "access", hosts: ["gate", "nas"] });
  [gate, nas] = [lab.host("gate"), lab.host("nas")];
  before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
});

afterAll(() => Lab.clear("access"));

/** Runs ssh or sftp on nas as a tunnel's account, with the tunnel's own key and configuration. */
const asTunnel = (tunnel: string, command: string) =>
  nas.run(`timeout 20 runuser -u tunnel-${tunnel} -- ${command}`, { allowFailure: true });

const banner = async (name = "nas") =>
  (await gate.run(`ssh -o ConnectTimeout=2 ${name} echo through`, { allowFailure: true })).stdout;

const nothingLeft = async () => {
  expect(await leftovers(gate, before.gate!)).toEqual([]);
  expect(await leftovers(nas, before.nas!)).toEqual([]);
};

describe("with two tunnels to one public host", () => {
  let stack: LabStack;

  beforeAll(async () => {
    const tunnel = (remotePort: number) => ({
      ...labAdmin(lab, nas),
      forwards: { ssh: { remotePort, target: 22 } },
      logins: [{ from: "root", to: "root" }],
    });
    stack = await openProgram(lab, {
      config: {
        publicHosts: { gate: { ...labAdmin(lab, gate), allowUsers: ["root", "alice"] } },
        internalHosts: { nas: tunnel(2222), shop: tunnel(2223) },
      },
    });
    await stack.up();
  });

  /** The sshd sessions of an account on gate. */
  const sessions = async (account: string) =>
    (await gate.run(`pgrep -u ${account} sshd`, { allowFailure: true })).stdout;

  describe("a tunnel's key", () => {
    const quiet = "-o BatchMode=yes -o ClearAllForwardings=yes -S none";

    it.each([
      ["a shell", `ssh -T ${quiet} ssh-tunnel-shop`],
      ["a terminal", `ssh -tt ${quiet} ssh-tunnel-shop`],
      ["a command", `ssh ${quiet} ssh-tunnel-shop 'id; cat /etc/passwd'`],
      ["a subsystem", `ssh ${quiet} -s ssh-tunnel-shop sftp`],
    ])("gets evict-stale instead of %s", async (_what, command) => {
      const { stdout } = await asTunnel("shop", command);
      expect(stdout.replace(/^ended the earlier session \(pid \d+\) of tunnel-shop\r?$/gm, "").trim()).toBe(
        "",
      );
    });

    it("cannot copy files", async () => {
      const copy = await asTunnel(
        "shop",
        `scp -q ${quiet.replace("-S none", "")} ssh-tunnel-shop:/etc/passwd /tmp/x`,
      );
      expect(copy.exitCode).not.toBe(0);
      expect((await nas.run("cat /tmp/x", { allowFailure: true })).stdout).toBe("");
    });

    it("gets neither agent nor X11 forwarding, even if it requests them", async () => {
      const keys = "/etc/ssh/ssh-reverse-tunnel/tunnel-shop.keys";
      // The same key with the same options shows what its session would have.
      await gate.run(`cp -a ${keys} /root/keys && sed -i 's/command="[^"]*"/command="env"/' ${keys}`);
      const asked = await asTunnel(
        "shop",
        `env DISPLAY=:0 ssh-agent ssh -A -X -o IdentityAgent=SSH_AUTH_SOCK ${quiet} ssh-tunnel-shop`,
      );
      await gate.run(`mv /root/keys ${keys}`);
      expect(asked.stdout).toContain("USER=tunnel-shop");
      expect(asked.stdout).not.toMatch(/SSH_AUTH_SOCK|DISPLAY|SSH_TTY/);
    });

    it("reaches its own listener through gate, and nothing else", async () => {
      await until("the tunnel shop", 20, async () => (await banner("shop")) === "through");
      const reach = async (target: string) =>
        (await asTunnel("shop", `ssh ${quiet} -W ${target} ssh-tunnel-shop | head -c 4`)).stdout;
      expect(await reach("127.0.0.1:2223")).toBe("SSH-");
      const others = [
        "127.0.0.1:22",
        "127.0.0.1:2222",
        `${gate.address}:22`,
        `${nas.address}:22`,
        "[::1]:22",
      ];
      expect(await Promise.all(others.map(reach))).toEqual(others.map(() => ""));
    });

    it("cannot listen on another port, on another address, on a socket or twice", async () => {
      await nas.run("systemctl stop ssh-tunnel-shop"); // the port that it may use is free now
      const listenFor = (seconds: number, ...listeners: string[]) =>
        asTunnel(
          "shop",
          `timeout ${seconds} ssh -N -S none ${listeners.map((each) => `-R ${each}:127.0.0.1:22`).join(" ")} ssh-tunnel-shop`,
        );
      const listen = (...listeners: string[]) => listenFor(15, ...listeners);
      const refused = await Promise.all([
        listen("127.0.0.1:2224"),
        listen("127.0.0.1:2222"),
        listen("0.0.0.0:2223"),
        listen("'*:2223'"),
        listen("2223"),
        listen(`${gate.address}:2223`),
        listen("/tmp/listener"),
        listen("127.0.0.1:0"),
        listen("127.0.0.1:2225", "127.0.0.1:2226"),
      ]);
      for (const { exitCode, stderr } of refused) {
        expect(stderr).toMatch(/remote port forwarding failed for listen (port|path)/);
        expect(exitCode).toBe(255);
      }
      expect((await listenFor(3, "127.0.0.1:2223")).exitCode).toBe(124); // its permitted listener stays until we end it
      await nas.run("systemctl start ssh-tunnel-shop");
      await until("the tunnel shop", 20, async () => (await banner("shop")) === "through");
    });

    it("is the only way to log in to the tunnel account, and the account cannot add another", async () => {
      const effective = (await gate.run("sshd -T -C user=tunnel-shop,host=x,addr=192.0.2.1")).stdout.split(
        "\n",
      );
      for (const line of [
        "authenticationmethods publickey",
        "authorizedkeysfile /etc/ssh/ssh-reverse-tunnel/%u.keys",
        "allowstreamlocalforwarding no",
        "permittunnel no",
        "permituserrc no",
      ]) {
        expect(effective).toContain(line);
      }
      expect((await gate.run("stat -c '%U %a' /etc/ssh/ssh-reverse-tunnel/*.keys")).stdout).toBe(
        "root 644\nroot 644",
      );
      expect((await gate.run("getent shadow tunnel-shop")).stdout).toMatch(/^tunnel-shop:\*:/);
    });
  });

  it("evict-stale ends the sessions of its own account, but no sessions of another tunnel or of the admin", async () => {
    const command = "echo $PPID >/run/admin; exec sleep 100";
    const admin = execa("ssh", ["-F", lab.sshConfigFile, "gate", command], { reject: false });
    const pid = await until("the admin's session", 20, async () => {
      const { stdout } = await gate.run("cat /run/admin", { allowFailure: true });
      return stdout === "" ? undefined : stdout;
    });
    const [shop, other] = [await sessions("tunnel-shop"), await sessions("tunnel-nas")];
    expect(shop).toMatch(/^\d+$/);
    const { stdout } = await asTunnel(
      "shop",
      "ssh -T -o ClearAllForwardings=yes -S none ssh-tunnel-shop evict-stale",
    );
    expect(stdout).toBe(`ended the earlier session (pid ${shop}) of tunnel-shop`);
    expect((await sessions("tunnel-shop")).split("\n")).not.toContain(shop);
    expect(await sessions("tunnel-nas")).toBe(other);
    expect((await gate.run(`cat /proc/${pid}/comm`)).stdout).toBe("sshd");
    expect(admin.exitCode ?? "still there").toBe("still there");
    admin.kill();
    await admin;
  });

  it("the key of a login back opens the internal host through the tunnel, and from no other address", async () => {
    expect(await banner()).toBe("through");
    const key = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -F none";
    const file = "/root/.ssh/ssh-reverse-tunnel/nas.key";
    const direct = await gate.run(`ssh ${key} -i ${file} root@${nas.address} id`, { allowFailure: true });
    expect(direct.stderr).toContain("Permission denied (publickey");
    const elsewhere = await nas.run(
      `cat >/run/key && chmod 600 /run/key; ssh ${key} -i /run/key root@${nas.address} id; rm /run/key`,
      {
        input: (await gate.run(`cat ${file}`)).stdout + "\n",
        allowFailure: true,
      },
    );
    expect(elsewhere.stderr).toContain("Permission denied (publickey");
  });

  it("AllowUsers admits the accounts that are named, and nobody else", async () => {
    const login = async (user: string) =>
      (await exec("ssh", ["-F", lab.sshConfigFile, "-l", user, "gate", "id -un"], { allowFailure: true }))
        .stdout;
    expect(await Promise.all(["root", "alice", "admin"].map(login))).toEqual(["root", "alice", ""]);
  });

  it("every service has an exposure of at most 2.0 of 10 in systemd-analyze", async () => {
    for (const host of [gate, nas]) {
      const { stdout } = await host.run(
        "systemctl list-unit-files --no-legend 'ssh-tunnel*-*.service' | cut -d' ' -f1",
      );
      const services = stdout.split("\n");
      expect(services).toHaveLength(host === gate ? 1 : 4);
      for (const service of services) {
        const verdict = await host.run(
          `systemd-analyze security --no-pager --threshold=20 ${service} | tail -n 1`,
        );
        expect(Number(/: ([\d.]+) /.exec(verdict.stdout)?.[1])).toBeLessThanOrEqual(2);
      }
    }
  });

  it("ssh -O check answers the tunnel's account on the control socket", async () => {
    const check = await asTunnel("nas", "ssh -S /run/ssh-tunnel-nas/control -O check ssh-tunnel-nas");
    expect(check.stderr).toMatch(/^Master running \(pid=\d+\)/);
  });

  it("nothing is left after destroy", async () => {
    await stack.destroy();
    await nas.run("rm -f /tmp/x");
    await nothingLeft();
  });
});

sometimes.describe(
  "with an admin who is not root, an agent, an encrypted key, a bastion, IPv6 and another port",
  () => {
    const PASSWORD = "only a test";
    const ipv6 = existsSync("/proc/net/if_inet6"); // a machine without IPv6 can still run the rest
    let stack: LabStack;
    let agent: ReturnType<typeof execa> | undefined;
    let address: string;

    beforeAll(async () => {
      address = ipv6 ? gate.address6 : gate.address;
      await gate.run("echo 'Port 2200' >/etc/ssh/sshd_config.d/50-port.conf && systemctl reload ssh");
      await until(
        "sshd on port 2200",
        10,
        async () => (await gate.run("ss -Hltn sport = :2200")).stdout !== "",
      );
      const agentSocketPath = join(lab.directory, "agent");
      agent = execa("ssh-agent", ["-D", "-a", agentSocketPath], { reject: false });
      await until("the agent", 10, () => existsSync(agentSocketPath));
      await exec("ssh-add", ["-q", lab.adminKeyFile], { env: { SSH_AUTH_SOCK: agentSocketPath } });
      const encrypted = join(lab.directory, "encrypted_key");
      await copyFile(lab.adminKeyFile, encrypted);
      await exec("ssh-keygen", ["-q", "-p", "-P", "", "-N", PASSWORD, "-f", encrypted]);

      const admin = { user: "admin", agentSocketPath, port: 2200, hostKey: gate.hostKey };
      stack = await openProgram(lab, {
        stack: "roundabout",
        config: {
          publicHosts: { gate: { address, sshPort: 2200, admin } },
          internalHosts: {
            nas: {
              address: nas.address,
              admin: {
                user: "admin",
                privateKeyFile: encrypted,
                hostKey: nas.hostKey,
                bastion: { address, ...admin, user: "alice" },
              },
              forwards: {
                ssh: { remotePort: 2222, target: 22, listen: address },
                web: { remotePort: 8080, target: "127.0.0.1:22", listen: "all", protocol: "ssh" },
              },
              logins: [{ from: "alice", to: "admin" }],
            },
          },
        },
      });
      await stack.setSecret("internalHosts.nas.admin.passphrase", PASSWORD, true);
    });

    afterAll(async () => {
      agent?.kill();
      await agent;
    });

    it("up succeeds, and the login through the tunnel works", async () => {
      const { outputs } = await stack.up();
      const host = ipv6 ? `[${address}]` : address;
      expect(outputs).toMatchObject({
        endpoints: { nas: { ssh: { endpoint: `${host}:2222` }, web: { endpoint: `${host}:8080` } } },
      });
      expect((await gate.run("su - alice -c 'ssh nas id -un'")).stdout).toBe("admin");
    });

    it("all connections to nas come through gate, its bastion", async () => {
      const logins = (await journal(nas, "-u ssh")).matchAll(/Accepted publickey for admin from (\S*)/g);
      const from = new Set([...logins].map(([, address]) => address));
      // The lab's own check of the booted host comes from outside.
      from.delete(nas.address.replace(/\d+$/, "1"));
      expect([...from]).toEqual(expect.arrayContaining([gate.address]));
      expect([...from].every((each) => each === gate.address || each === "127.0.0.1")).toBe(true);
    });

    it("a second up changes nothing, and one with a changed revision checks everything again", async () => {
      expect(Object.keys((await stack.up()).changes)).toEqual(["same"]);
      const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
      const running = await pid();
      await stack.setConfig({ revision: "2" });
      expect((await stack.up()).changes).toEqual({
        same: expect.any(Number) as number,
        update: expect.any(Number) as number,
      });
      expect(await pid()).toBe(running);
      expect((await gate.run("su - alice -c 'ssh nas id -un'")).stdout).toBe("admin");
    });

    it("destroy leaves nothing", async () => {
      await stack.destroy();
      await gate.run("rm /etc/ssh/sshd_config.d/50-port.conf && systemctl reload ssh");
      await nothingLeft();
    });
  },
);
