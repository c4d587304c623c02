import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
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
    ...{ address: "gate", port: 22, user: "me", identityFiles: files },
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

  test("tokens in their names are replaced", () => {
    configure("Host nas\n  HostName nas.home\n  User me\n  IdentityFile %d/%r@%h-%n%%\n");
    expect(readSshConfig("nas").identityFiles).toEqual([`${homedir()}/me@nas.home-nas%`]);
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
