import type { ChildProcess } from "node:child_process";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, hostname, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { parseConfig } from "../../components/settings/load.ts";
import { loginFrom, readSshConfig } from "../../components/settings/sshConfig.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { mistakesIn, smallest } from "../support/settings.ts";
import { newSshKey } from "../support/sshKey.ts";
import { installSsh } from "../support/sshConfigFile.ts";

const folder = mkdtempSync(join(tmpdir(), "ssh-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

const keys = {
  gate: newSshKey().publicLine,
  nas: newSshKey().publicLine,
  jump: newSshKey().publicLine,
};
const { privateKey } = newSshKey();
const keyFile = file("key", privateKey);
chmodSync(keyFile, 0o600);
const encrypted = file("encrypted", newSshKey("ed25519", { passphrase: "hunter2" }).privateKey);
const known = file(
  "known_hosts",
  `gate.example.org ${keys.gate}\nnas.home ${keys.nas}\n[jump.example.org]:2200 ${keys.jump}\n`,
);

const { PATH, SSH_AUTH_SOCK } = process.env;
beforeEach(() => {
  delete process.env.SSH_AUTH_SOCK;
});
afterEach(() => {
  process.env.PATH = PATH;
  if (SSH_AUTH_SOCK !== undefined) process.env.SSH_AUTH_SOCK = SSH_AUTH_SOCK;
});

/** The user's ssh_config, from now to the end of the test. */
const configure = (text: string) => {
  process.env.PATH = `${installSsh(folder, text)}:${PATH}`;
};
const common = `Host *\n  UserKnownHostsFile ${known}\n  GlobalKnownHostsFile none\n  IdentityFile ${keyFile}\n`;

/** gate and nas, of which only the names are known here. */
const named = (admin: Record<string, unknown> = {}) => ({
  publicHosts: { gate: { admin: { ssh: "gate" } } },
  internalHosts: {
    nas: { admin: { ssh: "nas", ...admin }, forwards: smallest().internalHosts.nas.forwards },
  },
});

async function plain(connection: object): Promise<Record<string, unknown>> {
  return promiseOf(pulumi.output(connection as Record<string, unknown>));
}

describe("a host that names what is typed after ssh", () => {
  test("is reached with the address, port, account, private key, host key and jump host of ssh's configuration", async () => {
    configure(
      `Host gate\n  HostName gate.example.org\n  User admin\nHost nas\n  HostName 192.168.1.10\n  Port 2022\n  User me\n  HostKeyAlias nas.home\n  ProxyJump jumper@jump.example.org:2200\n${common}`,
    );
    const { publicHosts, internalHosts } = parseConfig(named());
    expect(publicHosts.gate?.address).toBe("gate.example.org");
    expect(await plain(publicHosts.gate!.connection)).toEqual({
      ...{ host: "gate.example.org", port: 22, user: "admin", hostKey: keys.gate },
      ...{ privateKey, perDialTimeout: 10 },
    });
    expect(internalHosts.nas?.address).toBe("192.168.1.10");
    expect(await plain(internalHosts.nas!.connection)).toEqual({
      ...{ host: "192.168.1.10", port: 2022, user: "me", hostKey: keys.nas },
      ...{ privateKey, perDialTimeout: 10 },
      proxy: {
        ...{ host: "jump.example.org", port: 2200, user: "jumper", hostKey: keys.jump },
        ...{ privateKey, perDialTimeout: 10 },
      },
    });
  });

  test("keeps what the settings have themselves", async () => {
    configure(`Host nas\n  HostName nas.home\n  User me\n  ProxyJump jump.example.org\n${common}`);
    const hostKey = newSshKey().publicLine;
    const bastion = { address: "10.0.0.1", hostKey, password: "hunter2" };
    const own = { user: "root", port: 23, address: "10.0.0.2", hostKey, bastion, password: "hunter2" };
    const raw = named(own);
    const { internalHosts } = parseConfig({
      ...raw,
      publicHosts: smallest().publicHosts,
      internalHosts: { nas: { ...raw.internalHosts.nas, address: "10.0.0.3" } },
    });
    expect(internalHosts.nas?.address).toBe("10.0.0.3");
    expect(await plain(internalHosts.nas!.connection)).toMatchObject({
      ...{ host: "10.0.0.2", port: 23, user: "root", hostKey, password: "hunter2" },
      proxy: { host: "10.0.0.1", port: 22, user: "root", hostKey, password: "hunter2" },
    });
    expect(internalHosts.nas!.connection).not.toHaveProperty("privateKey");
  });

  test("is reached through its tunnel whatever leads to it directly", async () => {
    configure(
      `Host gate\n  HostName gate.example.org\nHost nas\n  HostName nas.home\n  ProxyCommand corkscrew %h %p\n${common}`,
    );
    const { internalHosts } = parseConfig(named({ throughTunnel: "ssh" }));
    expect(await plain(internalHosts.nas!.connection)).toMatchObject({
      ...{ host: "127.0.0.1", port: 2222, hostKey: keys.nas, privateKey },
      proxy: { host: "gate.example.org", privateKey },
    });
  });

  test("is known by known_hosts files whose names have spaces, tokens and variables", () => {
    configure(
      `Host nas\n  HostName nas.home\n  UserKnownHostsFile "${folder}/my hosts/%h" \${HOME}/%h\n  GlobalKnownHostsFile /etc/a "/etc/b c"\n`,
    );
    expect(readSshConfig("nas").knownHostsFile).toEqual([
      ...[`${folder}/my hosts/nas.home`, `${homedir()}/nas.home`],
      ...["/etc/a", "/etc/b c"],
    ]);
  });

  test("may be unknown to ssh's configuration, and is then its own address", () => {
    configure(common);
    expect(readSshConfig("gate.example.org")).toMatchObject({
      address: "gate.example.org",
      port: 22,
      user: userInfo().username,
    });
  });
});

describe("of the private keys in ssh's configuration", () => {
  const candidates = (...files: string[]) => ({
    ...{ address: "gate", port: 22, user: "me", identityFiles: files, hasOwnKeys: true },
  });
  const chosen = (...files: string[]) => loginFrom(candidates(...files)).privateKeyFile;

  test("the first is taken that the provider can use", () => {
    expect(chosen("/nonexistent", encrypted, keyFile, "/other")).toBe(keyFile);
    expect(loginFrom(candidates(encrypted), { passphrase: "hunter2" }).privateKeyFile).toBe(encrypted);
  });

  test("none is taken if none can be used and there is an agent, which may have them", () => {
    process.env.SSH_AUTH_SOCK = "/run/agent";
    expect(chosen("/nonexistent", encrypted)).toBeUndefined();
    expect(chosen("/nonexistent")).toBeUndefined();
  });

  test("one that cannot be used is named if there is no agent", () => {
    expect(chosen("/nonexistent", encrypted)).toBe(encrypted);
    expect(chosen("/nonexistent")).toBe("/nonexistent");
    expect(chosen("/nonexistent", "/other")).toBeUndefined();
  });

  describe("while an ssh-agent runs,", () => {
    const [socket, empty] = ["agent", "empty"].map((name) => join(folder, name)) as [string, string];
    let agents: ChildProcess[];
    beforeAll(async () => {
      agents = [socket, empty].map((path) => spawn("ssh-agent", ["-D", "-a", path], { stdio: "ignore" }));
      await vi.waitUntil(() => existsSync(socket) && existsSync(empty), { timeout: 100_000 });
    });
    afterAll(() => agents.forEach((agent) => agent.kill()));
    beforeEach(() => {
      process.env.SSH_AUTH_SOCK = socket;
    });
    const addKey = () =>
      execFileSync("ssh-add", [keyFile], { env: { ...process.env, SSH_AUTH_SOCK: socket }, stdio: "pipe" });
    const unconfigured = { ...candidates(keyFile), hasOwnKeys: false };

    test("one that IdentityFile names is taken", () => {
      addKey();
      expect(chosen(keyFile)).toBe(keyFile);
    });

    test("one of ssh's own list is left to an agent that has keys, which ssh asks first", () => {
      addKey();
      expect(loginFrom(unconfigured).privateKeyFile).toBeUndefined();
      expect(loginFrom(unconfigured, { agentSocketPath: "" }).privateKeyFile).toBe(keyFile);
      const withPassphrase = { ...candidates(encrypted), hasOwnKeys: false };
      expect(loginFrom(withPassphrase, { passphrase: "hunter2" }).privateKeyFile).toBe(encrypted);
    });

    test("one of ssh's own list is taken if the agent has no keys, or if IdentityAgent is 'none'", () => {
      process.env.SSH_AUTH_SOCK = empty;
      expect(loginFrom(unconfigured).privateKeyFile).toBe(keyFile);
      process.env.SSH_AUTH_SOCK = "/nonexistent";
      expect(loginFrom(unconfigured).privateKeyFile).toBeUndefined();
      configure("Host *\n  IdentityAgent none\n");
      const { agentSocketPath } = readSshConfig("nas");
      expect(agentSocketPath).toBe("");
      expect(loginFrom({ ...unconfigured, agentSocketPath: "" }).privateKeyFile).toBe(keyFile);
    });
  });

  test("those of ssh's own list are told from those that IdentityFile names", () => {
    configure(`Host nas\n  IdentityFile ${keyFile}\nHost till\n  IdentityFile ~/.ssh/id_rsa\n`);
    expect(["nas", "till", "gate"].map((name) => readSshConfig(name).hasOwnKeys)).toEqual([
      true,
      true,
      false,
    ]);
  });

  test("tokens, variables and homes in their names are replaced as ssh does it", () => {
    configure(
      'Host nas\n  HostName nas.home\n  User me\n  Port 2022\n  HostKeyAlias a\n  IdentityFile %d/%r@%h-%n%%\n  IdentityFile ${HOME}/%i-%k-%L-%l-%p-%u\n  IdentityFile ~root/%C\n  IdentityFile "~/my keys/%n"\n',
    );
    const [home, host, { uid, username }] = [homedir(), hostname(), userInfo()];
    const hash = createHash("sha1").update(`${host}nas.home2022me`).digest("hex");
    expect(readSshConfig("nas").identityFiles).toEqual([
      `${home}/me@nas.home-nas%`,
      `${home}/${uid}-a-${host.split(".")[0]}-${host}-2022-${username}`,
      `/root/${hash}`,
      `${home}/my keys/nas`,
    ]);
  });

  test("'none' is no file", () => {
    configure(`Host nas\n  IdentityFile none\nHost *\n  IdentityFile ${keyFile}\n`);
    expect(readSshConfig("gate").identityFiles).toEqual([keyFile]);
    expect(readSshConfig("nas").identityFiles).toEqual([keyFile]);
    configure("Host *\n  IdentityFile none\n");
    expect(readSshConfig("nas").identityFiles).toEqual([]);
  });
});

describe("what ssh's configuration cannot give is reported with the place and the remedy:", () => {
  const nasOnly = (admin: Record<string, unknown> = {}) => ({
    ...named(admin),
    publicHosts: smallest().publicHosts,
  });

  test.each([
    [
      "a ProxyCommand",
      "  ProxyCommand nc %h %p",
      `internalHosts.nas.admin.ssh: found "nas"; ssh's configuration for 'nas' has a ProxyCommand, which the command provider cannot run; use ProxyJump there, or set bastion`,
    ],
    [
      "several jump hosts",
      "  ProxyJump one,two",
      `internalHosts.nas.admin.ssh: found "nas"; ssh's configuration: 'nas' has several hosts in its ProxyJump (one,two), and the command provider supports only one host on the way; set bastion to one from which the host can be reached directly`,
    ],
    [
      "a jump host behind another one",
      "  ProxyJump one\nHost one\n  ProxyJump two",
      `internalHosts.nas.admin.ssh: found "nas"; ssh's configuration: the jump host 'one' of 'nas' has a ProxyJump of its own, and the command provider supports only one host on the way; set bastion to one from which the host can be reached directly`,
    ],
    [
      "an error in the file",
      "  Prot 22",
      expect.stringMatching(
        /^internalHosts\.nas\.admin\.ssh: found "nas"; 'ssh -G nas' fails \(.*terminating, 1 bad configuration options\); correct ssh's configuration$/,
      ),
    ],
    [
      "a host key that is not known",
      "  HostName other.example.org",
      `internalHosts.nas.admin: nas: no ed25519 or ecdsa host key for other.example.org in ${known}; log in once with ssh and compare the key that it shows, or set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub`,
    ],
    [
      "no known_hosts file",
      `  HostName nas.home\n  UserKnownHostsFile none`,
      "internalHosts.nas.admin: nas: ssh's configuration names no known_hosts file in which the host key of nas.home could be; set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub, or set knownHostsFile",
    ],
    [
      "a variable that is not set",
      "  IdentityFile ${NO_SUCH_VARIABLE}/key",
      `internalHosts.nas.admin.ssh: found "nas"; ssh's configuration for 'nas' has the IdentityFile \${NO_SUCH_VARIABLE}/key, which ssh itself cannot expand; correct it there, or set privateKeyFile here`,
    ],
    [
      "a private key that does not exist",
      "  HostName nas.home\n  IdentityFile /nonexistent\n  UserKnownHostsFile " + known,
      "internalHosts.nas.admin: nas: the private key file /nonexistent cannot be read (ENOENT); correct privateKeyFile",
    ],
  ])("%s", (what, options, mistake) => {
    configure(`Host nas\n${options}\n${what.startsWith("a private key") ? "" : common}`);
    expect(mistakesIn(nasOnly())).toEqual([mistake]);
  });

  test("there is no ssh", () => {
    const empty = join(folder, "empty");
    mkdirSync(empty, { recursive: true });
    process.env.PATH = empty;
    expect(mistakesIn(nasOnly())).toEqual([
      `internalHosts.nas.admin.ssh: found "nas"; there is no ssh on the PATH here to read its configuration with; install OpenSSH's client, or set address, user and privateKeyFile instead`,
    ]);
  });

  test.each(["-oProxyCommand=true", "nas; true", "a b", ""])("%j, which is never passed to ssh", (name) => {
    process.env.PATH = "/nonexistent";
    expect(mistakesIn(nasOnly({ ssh: name }))).toContain(
      `internalHosts.nas.admin.ssh: found ${JSON.stringify(name)}; must be a name that ssh knows, as in 'ssh nas'`,
    );
  });
});
