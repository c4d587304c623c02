import { describe, expect, test } from "vitest";
import { Account, SshLogin } from "../components/index.ts";
import { ownValues } from "./support/expectScript.ts";
import { gate, gateKeys, nas } from "./support/hosts.ts";
import { publicKeyOf, record } from "./support/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

const args = {
  from: { host: nas, account: "tunnel-nas" },
  to: { host: gate, account: "tunnel-nas", hostKeys: gateKeys },
  file: "nas",
  aliases: ["gate", "ssh-tunnel-nas"],
  address: "gate.example.org",
  port: 2200,
  keyOptions: ["restrict"],
  clientOptions: { BatchMode: "yes" },
};

describe("a login", () => {
  test("is a key pair, its authorization, pinned host keys and a Host entry", async () => {
    const recording = await record(() => new SshLogin("nas-login", args));
    expect(recording.childrenOf(recording.component("SshLogin", "nas-login"))).toEqual([
      "AuthorizedKey nas-login-authorized-key",
      "ClientConfig nas-login-client-config",
      "KeyPair nas-login-key",
      "KnownHost nas-login-known-host",
    ]);
  });

  test("keeps its key where it starts and authorizes it where it ends", async () => {
    const recording = await record(() => new SshLogin("nas-login", args));
    expect(Object.fromEntries(recording.commands.map(({ name, address }) => [name, address]))).toEqual({
      "nas-login-key-script": "198.18.0.3",
      "nas-login-known-host-script": "198.18.0.3",
      "nas-login-client-config-script": "198.18.0.3",
      "nas-login-authorized-key-script": "198.18.0.2",
    });
    expect(ownValues(recording.command("nas-login-key-script").values)).toEqual({
      ACCOUNT: "tunnel-nas",
      FILE: "nas.key",
      COMMENT: "tunnel-nas@nas",
    });
    const [type, key] = publicKeyOf("nas.key", "tunnel-nas@nas").split(" ");
    expect(recording.command("nas-login-authorized-key-script").values.LINE).toBe(
      `restrict ${type} ${key} ssh-reverse-tunnel:ssh-reverse-tunnel-dev/nas-login-authorized-key`,
    );
  });

  test("pins the other side's host keys under the alias, and trusts no other", async () => {
    const recording = await record(() => new SshLogin("nas-login", args));
    expect(ownValues(recording.command("nas-login-known-host-script").values)).toEqual({
      ACCOUNT: "tunnel-nas",
      FILE: "nas.known_hosts",
      KEYS: gateKeys.map((key) => `gate ${key}`).join("\n"),
    });
    expect(ownValues(recording.command("nas-login-client-config-script").values)).toEqual({
      ACCOUNT: "tunnel-nas",
      FILE: "nas.conf",
      ENTRY: [
        "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
        "Host gate ssh-tunnel-nas",
        "    HostName gate.example.org",
        "    Port 2200",
        "    User tunnel-nas",
        "    IdentityFile ~/.ssh/ssh-reverse-tunnel/nas.key",
        "    IdentitiesOnly yes",
        "    HostKeyAlias gate",
        "    UserKnownHostsFile ~/.ssh/ssh-reverse-tunnel/nas.known_hosts",
        "    GlobalKnownHostsFile /dev/null",
        "    StrictHostKeyChecking yes",
        "    UpdateHostKeys no",
        "    BatchMode yes",
      ].join("\n"),
    });
  });

  test("makes nothing on either side before the account there", async () => {
    const recording = await record(() => {
      const account = (host: typeof nas) =>
        new Account(`${host.name}-account`, { host, account: "x", group: "x", home: "/", shell: "/bin/sh" });
      new SshLogin("nas-login", { ...args, afterFrom: [account(nas)], afterTo: [account(gate)] });
    });
    for (const name of ["key", "known-host", "client-config"]) {
      expect(recording.command(`nas-login-${name}-script`).waitsFor).toContain("nas-account-script");
    }
    expect(recording.command("nas-login-authorized-key-script").waitsFor).toContain("gate-account-script");
    expect(recording.command("nas-login-key-script").waitsFor).not.toContain("gate-account-script");
  });

  test("has another fingerprint when the client's side is another, and not for another option of the key", async () => {
    const fingerprint = async (changes: object) => {
      const { result } = await record(() => new SshLogin("nas-login", { ...args, ...changes }));
      return promiseOf(result.fingerprint);
    };
    const first = await fingerprint({});
    expect(first).toMatch(/^[0-9a-f]{16}$/);
    expect(await fingerprint({ keyOptions: ["restrict", "pty"] })).toBe(first);
    expect(await fingerprint({ port: 22 })).not.toBe(first);
    expect(await fingerprint({ file: "other" })).not.toBe(first);
    expect(await fingerprint({ to: { ...args.to, hostKeys: ["ssh-rsa A"] } })).not.toBe(first);
  });
});
