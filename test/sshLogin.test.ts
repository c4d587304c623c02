import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test } from "vitest";
import { Account, SshLogin } from "../components/index.ts";
import { clientOptionsOf } from "../components/sshLogin.ts";
import { ownValues } from "./support/expectScript.ts";
import { gate, nas, nasKeys } from "./support/hosts.ts";
import { publicKeyOf, record } from "../tools/mocks.ts";
import { promiseOf } from "./support/promiseOf.ts";

const client = {
  file: "my-nas",
  aliases: ["my-nas", "storage"],
  address: pulumi.output("127.0.0.1"),
  port: pulumi.output(2222),
  account: "bob",
  hostKeys: nasKeys,
  options: { ServerAliveInterval: 15 },
};
const args = { from: { host: gate, account: "alice" }, to: nas, client, keyOptions: ["restrict", "pty"] };

const deploy = () => record(() => new SshLogin("back", args));

describe("a login", () => {
  test("is a key pair, its authorization, pinned host keys and a Host entry", async () => {
    const recording = await deploy();
    expect(recording.childrenOf(recording.component("SshLogin", "back"))).toEqual([
      "AuthorizedKey back-authorized-key",
      "ClientConfig back-client-config",
      "KeyPair back-key",
      "KnownHost back-known-host",
    ]);
  });

  test("keeps its key where it starts and authorizes it where it ends", async () => {
    const recording = await deploy();
    expect(Object.fromEntries(recording.commands.map(({ name, address }) => [name, address]))).toEqual({
      "back-key-script": "198.18.0.2",
      "back-known-host-script": "198.18.0.2",
      "back-client-config-script": "198.18.0.2",
      "back-authorized-key-script": "198.18.0.3",
    });
    expect(ownValues(recording.command("back-key-script").values)).toEqual({
      ACCOUNT: "alice",
      FILE: "my-nas.key",
      COMMENT: "alice@gate",
    });
    const [type, key] = publicKeyOf("my-nas.key", "alice@gate").split(" ");
    expect(recording.command("back-authorized-key-script").values).toMatchObject({
      ACCOUNT: "bob",
      LINE: `restrict,pty ${type} ${key} ssh-reverse-tunnel:ssh-reverse-tunnel-dev/back-authorized-key`,
      FILE: "",
      KEEP: "no",
    });
  });

  test("pins the other side's host keys under the alias, and trusts no other", async () => {
    const recording = await deploy();
    expect(ownValues(recording.command("back-known-host-script").values)).toEqual({
      ACCOUNT: "alice",
      FILE: "my-nas.known_hosts",
      KEYS: nasKeys.map((key) => `my-nas ${key}`).join("\n"),
    });
    expect(ownValues(recording.command("back-client-config-script").values)).toEqual({
      ACCOUNT: "alice",
      FILE: "my-nas.conf",
      ENTRY: [
        "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
        "Host my-nas storage",
        "    HostName 127.0.0.1",
        "    Port 2222",
        "    User bob",
        "    IdentityFile ~/.ssh/ssh-reverse-tunnel/my-nas.key",
        "    IdentitiesOnly yes",
        "    IdentityAgent none",
        "    AddKeysToAgent no",
        "    PKCS11Provider none",
        "    PubkeyAuthentication yes",
        "    PreferredAuthentications publickey",
        "    HostKeyAlias my-nas",
        "    UserKnownHostsFile ~/.ssh/ssh-reverse-tunnel/my-nas.known_hosts",
        "    GlobalKnownHostsFile /dev/null",
        "    KnownHostsCommand none",
        "    VerifyHostKeyDNS no",
        "    NoHostAuthenticationForLocalhost no",
        "    GSSAPIKeyExchange no",
        "    StrictHostKeyChecking yes",
        "    UpdateHostKeys no",
        "    CheckHostIP no",
        "    CanonicalizeHostname no",
        "    ControlMaster no",
        "    ControlPath none",
        "    ControlPersist no",
        "    ForwardAgent no",
        "    ForwardX11 no",
        "    Tunnel no",
        "    PermitLocalCommand no",
        "    RemoteCommand none",
        "    RequestTTY auto",
        "    SessionType default",
        "    StdinNull no",
        "    ForkAfterAuthentication no",
        "    ServerAliveInterval 15",
      ].join("\n"),
    });
  });

  test("makes nothing where it starts before what it is told to wait for", async () => {
    const recording = await record(() => {
      const account = new Account("a", { host: gate, account: "x", group: "x", home: "/", shell: "/bin/sh" });
      new SshLogin("back", { ...args, after: [account] });
    });
    for (const name of ["key", "known-host", "client-config"]) {
      expect(recording.command(`back-${name}-script`).waitsFor, name).toContain("a-script");
    }
  });

  test("authorizes its key only once that is made", async () => {
    expect((await deploy()).command("back-authorized-key-script").waitsFor).toContain("back-key-script");
  });
});

test("a login without an alias has its host keys under the name of its files", async () => {
  const { result } = await record(() => promiseOf(clientOptionsOf({ ...client, aliases: [] })));
  expect(result).toMatchObject({ HostKeyAlias: "my-nas", Port: 2222 });
});
