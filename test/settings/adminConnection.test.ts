import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import type { AdminConnection } from "../../components/settings/adminConnection.ts";
import { adminConnection, throughTunnel } from "../../components/settings/adminConnection.ts";
import { hostKey } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";
import { newSshKey } from "../support/sshKey.ts";

const folder = mkdtempSync(join(tmpdir(), "admin-connection-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};

/** Real keys, since ssh-keygen ignores a line without one. */
const ed25519 = newSshKey().publicLine;
const otherEd25519 = newSshKey().publicLine;
const ecdsa = newSshKey("ecdsa").publicLine;
const rsa = newSshKey("rsa").publicLine;
const { privateKey } = newSshKey();

/** The connection with its secrets in the clear, and which of its parts are secret. */
async function connect(admin: Omit<AdminConnection, "address">) {
  const { result } = await record(() =>
    mapOutputs(adminConnection("gate", { address: "198.18.0.2", ...admin })),
  );
  return result;
}

async function mapOutputs(connection: object) {
  const secrets: string[] = [];
  const plain: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(connection) as [string, unknown][]) {
    const output = pulumi.output(value) as pulumi.Output<unknown>;
    plain[key] = await promiseOf(output);
    if (await pulumi.isSecret(output)) {
      secrets.push(key);
    }
  }
  return { plain, secrets };
}

const keyIn = async (known: string, admin: Partial<AdminConnection> = {}) =>
  (await connect({ knownHostsFile: file("known_hosts", known), ...admin })).plain.hostKey;

describe("an admin connection", () => {
  test("is for root on port 22, and is tried few enough times for fail2ban", async () => {
    expect(await connect({ hostKey })).toEqual({
      plain: { host: "198.18.0.2", port: 22, user: "root", hostKey, perDialTimeout: 10 },
      secrets: [],
    });
  });

  test("has a private key and its passphrase as secrets", async () => {
    const { privateKey } = newSshKey("ed25519", { passphrase: "hunter2" });
    const { plain, secrets } = await connect({ hostKey, privateKey, passphrase: "hunter2" });
    expect(plain).toMatchObject({ privateKey, privateKeyPassword: "hunter2" });
    expect(secrets).toEqual(["privateKey", "privateKeyPassword"]);
  });

  test("reads a private key from a file, as a secret", async () => {
    const { plain, secrets } = await connect({ hostKey, privateKeyFile: file("key", privateKey) });
    expect(plain).toMatchObject({ privateKey });
    expect(secrets).toEqual(["privateKey"]);
  });

  test("prefers a private key to a file with one", async () => {
    const { plain } = await connect({
      ...{ hostKey, privateKey: privateKey.trimEnd() },
      privateKeyFile: "/nonexistent",
    });
    // With one newline at its end, whatever its source: "pulumi config set" removes it, and a file has it.
    expect(plain).toMatchObject({ privateKey });
  });

  test("has a password as a secret", async () => {
    const { plain, secrets } = await connect({ hostKey, password: "hunter2" });
    expect(plain).toMatchObject({ password: "hunter2" });
    expect(secrets).toEqual(["password"]);
  });

  test("can use the socket of an agent", async () => {
    expect((await connect({ hostKey, agentSocketPath: "/run/agent" })).plain).toMatchObject({
      agentSocketPath: "/run/agent",
    });
  });

  test("goes through a bastion that has its own login and host key", async () => {
    const bastion = { address: "bastion.example.org", port: 2200, user: "jump", hostKey: ed25519 };
    const { plain } = await connect({ hostKey, bastion: { ...bastion, password: "hunter2" } });
    expect(plain.hostKey).toBe(hostKey);
    expect(plain.proxy).toEqual({
      host: "bastion.example.org",
      port: 2200,
      user: "jump",
      hostKey: ed25519,
      password: "hunter2",
      perDialTimeout: 10,
    });
  });

  test("reports which host's key file cannot be read, and what to correct", async () => {
    await expect(connect({ hostKey, privateKeyFile: "/nonexistent/key" })).rejects.toThrow(
      "gate: the private key file /nonexistent/key cannot be read (ENOENT); correct privateKeyFile",
    );
    await expect(
      connect({ hostKey, bastion: { address: "b", hostKey, privateKeyFile: "/nonexistent/key" } }),
    ).rejects.toThrow(
      "gate, bastion: the private key file /nonexistent/key cannot be read (ENOENT); correct privateKeyFile",
    );
    await expect(connect({ hostKey, privateKeyFile: folder })).rejects.toThrow(
      `gate: the private key file ${folder} cannot be read (EISDIR); correct privateKeyFile`,
    );
  });

  test("reports a private key that the provider cannot use, and whose it is", async () => {
    const encrypted = newSshKey("ed25519", { passphrase: "hunter2" }).privateKey;
    const place = file("encrypted", encrypted);
    await expect(connect({ hostKey, privateKeyFile: place })).rejects.toThrow(
      `gate: the private key file ${place} is encrypted; set its passphrase as a secret, or leave it out, and add it to your ssh-agent with ssh-add`,
    );
    await expect(
      connect({ hostKey, bastion: { address: "b", hostKey, privateKey: encrypted } }),
    ).rejects.toThrow("gate, bastion: the private key is encrypted; set its passphrase");
    await expect(connect({ hostKey, privateKey: "KEY" })).rejects.toThrow(
      "gate: the private key is not a private key",
    );
  });

  test("expands ~/ to the home of the user who runs Pulumi", async () => {
    await expect(connect({ knownHostsFile: "~/no/such/file" })).rejects.toThrow(
      `no ed25519 or ecdsa host key for 198.18.0.2 in ${join(homedir(), "no/such/file")};`,
    );
  });
});

const missing = "gate: no ed25519 or ecdsa host key for 198.18.0.2 in ";

describe("a connection through a tunnel", () => {
  const inside = {
    host: "198.18.0.3",
    port: 2200,
    user: "admin",
    hostKey: "ssh-ed25519 NAS",
    privateKey,
  };
  const outside = { host: "gate.example.org", port: 2222, user: "jump", hostKey, password: "hunter2" };
  const listener = { address: "127.0.0.1", port: 20022 };

  test("starts on the public host, with its login, and ends at the forward, with the login of the internal host", () => {
    expect(
      throughTunnel({ ...inside, perDialTimeout: 10 }, { ...outside, perDialTimeout: 10 }, listener),
    ).toEqual({
      ...inside,
      perDialTimeout: 10,
      host: "127.0.0.1",
      port: 20022,
      proxy: { ...outside, perDialTimeout: 10 },
    });
  });

  test("includes every way to log in to the public host", () => {
    const ways = { privateKey, privateKeyPassword: "hunter2", agentSocketPath: "/run/agent" };
    expect(throughTunnel(inside, { ...outside, ...ways }, listener).proxy).toMatchObject({
      ...outside,
      ...ways,
    });
  });

  test("replaces a bastion of the internal host", () => {
    const bastion = { host: "bastion.example.org", hostKey };
    expect(throughTunnel({ ...inside, proxy: bastion }, outside, listener).proxy).toMatchObject(outside);
  });

  test("is refused if the public host is behind a bastion, as the provider supports one host on the way", () => {
    const bastion = { host: "bastion.example.org", hostKey };
    expect(() => throughTunnel(inside, { ...outside, proxy: bastion }, listener)).toThrow(
      "a connection through the tunnel starts on the public host, which is itself behind a bastion; the command provider supports only one host on the way",
    );
  });
});

describe("a host key from known_hosts", () => {
  test("is that of the address", async () => {
    expect(await keyIn(`198.18.0.9 ${otherEd25519}\n198.18.0.2 ${ed25519} a comment\n`)).toBe(ed25519);
  });

  test("is found with a hashed name", async () => {
    const hashed = file("hashed", `198.18.0.2 ${ed25519}\n`);
    execFileSync("ssh-keygen", ["-H", "-f", hashed], { stdio: "ignore" });
    const { plain } = await connect({ knownHostsFile: hashed });
    expect(plain.hostKey).toBe(ed25519);
  });

  test("is that of the port", async () => {
    const known = `198.18.0.2 ${otherEd25519}\n[198.18.0.2]:2200 ${ed25519}\n`;
    expect(await keyIn(known, { port: 2200 })).toBe(ed25519);
    expect(await keyIn(known, { port: 22 })).toBe(otherEd25519);
  });

  test("is the ed25519 key if there are several, and never an RSA key, which the provider cannot check", async () => {
    expect(await keyIn(`198.18.0.2 ${rsa}\n198.18.0.2 ${ecdsa}\n198.18.0.2 ${ed25519}\n`)).toBe(ed25519);
    expect(await keyIn(`198.18.0.2 ${rsa}\n198.18.0.2 ${ecdsa}\n`)).toBe(ecdsa);
    await expect(keyIn(`198.18.0.2 ${rsa}\n`)).rejects.toThrow(missing);
  });

  describe("is not reported as missing", () => {
    const path = process.env.PATH;
    afterEach(() => {
      process.env.PATH = path;
    });

    test("if there is no ssh-keygen to find it with, which is reported instead", async () => {
      const known = `198.18.0.2 ${ed25519}\n`;
      process.env.PATH = "/nonexistent";
      await expect(keyIn(known)).rejects.toThrow(
        `gate: there is no ssh-keygen on the PATH here to look up the host key in ${join(folder, "known_hosts")}; install OpenSSH's client, or set hostKey`,
      );
      expect(await keyIn(known, { hostKey })).toBe(hostKey);
    });

    test("if the file cannot be searched, which is reported instead", async () => {
      const failing = join(folder, "failing");
      mkdirSync(failing);
      writeFileSync(join(failing, "ssh-keygen"), "#!/bin/sh\necho 'Permission denied' >&2\nexit 255\n", {
        mode: 0o755,
      });
      process.env.PATH = `${failing}:${path}`;
      await expect(keyIn(`198.18.0.2 ${ed25519}\n`)).rejects.toThrow(
        `gate: ssh-keygen cannot look up the host key in ${join(folder, "known_hosts")} (Permission denied); correct knownHostsFile, or set hostKey`,
      );
    });
  });

  test("is never the key of an authority", async () => {
    await expect(keyIn(`@cert-authority 198.18.0.2 ${ed25519}\n`)).rejects.toThrow(missing);
  });

  test("is never a revoked key, even if an older line still has it", async () => {
    await expect(keyIn(`@revoked 198.18.0.2 ${ed25519}\n`)).rejects.toThrow(missing);
    await expect(keyIn(`@revoked * ${ed25519}\n198.18.0.2 ${ed25519}\n`)).rejects.toThrow(missing);
  });

  test("is not needed if the settings have one", async () => {
    expect(await keyIn(`198.18.0.2 ${ed25519}\n`, { hostKey })).toBe(hostKey);
  });

  test("is needed for the bastion as well", async () => {
    const known = file("known_hosts", `[bastion]:2200 ${ed25519}\n`);
    const bastion = { address: "bastion", port: 2200, knownHostsFile: known };
    const { plain } = await connect({ hostKey, bastion });
    expect(plain.proxy).toMatchObject({ hostKey: ed25519 });
    await expect(connect({ hostKey, bastion: { ...bastion, port: 22 } })).rejects.toThrow(
      `gate, bastion: no ed25519 or ecdsa host key for bastion in ${known}; log in once with ssh and compare the key that it shows, or set hostKey to the host's /etc/ssh/ssh_host_ed25519_key.pub`,
    );
  });

  test("is reported with the port if it is missing for that port", async () => {
    await expect(keyIn(`198.18.0.2 ${ed25519}\n`, { port: 2200 })).rejects.toThrow(
      "gate: no ed25519 or ecdsa host key for [198.18.0.2]:2200 in ",
    );
  });
});

describe("any host key", () => {
  test("is accepted only if the settings say so, and with a warning", async () => {
    const warn = vi.spyOn(pulumi.log, "warn").mockResolvedValue();
    try {
      const { plain } = await connect({ acceptAnyHostKey: true });
      expect(plain).not.toHaveProperty("hostKey");
      expect(warn.mock.calls.map(([message]) => message)).toEqual([
        "gate (198.18.0.2): acceptAnyHostKey is set, so whoever answers at this address becomes its admin's trusted host; set hostKey instead",
      ]);
    } finally {
      warn.mockRestore();
    }
  });

  test("is not automatically accepted from a bastion", async () => {
    const warn = vi.spyOn(pulumi.log, "warn").mockResolvedValue();
    try {
      const bastion = { address: "bastion", knownHostsFile: "/nonexistent" };
      await expect(connect({ acceptAnyHostKey: true, bastion })).rejects.toThrow(
        "gate, bastion: no ed25519 or ecdsa host key for bastion in /nonexistent;",
      );
    } finally {
      warn.mockRestore();
    }
  });
});
