import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { remote, type types } from "@pulumi/command";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { connectionAdvice } from "../../components/remote/connectionAdvice.ts";
import { failedUp } from "../lab/support/failure.ts";
import { newSshKey } from "../support/sshKey.ts";
import { type SshServer, startSshServer } from "./sshServer.ts";

type Connection = types.input.remote.ConnectionArgs;

/** Faults of the machine that runs Pulumi, as the provider reports them, and the sentence that explains each. */
describe("a login that fails where Pulumi runs", () => {
  let server: SshServer;
  let folder: string;
  let stack: LabStack;
  /** What the next operation connects with, and runs. */
  let connection: Connection;
  let command = "true";

  beforeAll(async () => {
    server = await startSshServer();
    folder = await mkdtemp(join(tmpdir(), "runner-"));
    stack = await openStack({
      project: "runner",
      stack: "test",
      directory: folder,
      env: { SSH_AUTH_SOCK: "" },
      // eslint-disable-next-line @typescript-eslint/require-await -- the Automation API asks for a promise
      program: async () => {
        const hooks = { onError: [connectionAdvice("one", { name: "gate", connection })] };
        new remote.Command("one", { connection, create: command, delete: "true" }, { hooks });
      },
    });
  });

  afterAll(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const working = (): Connection => {
    const { port, privateKey, hostKey } = server;
    return { host: "127.0.0.1", user: "anyone", port, privateKey, hostKey, dialErrorLimit: 0 };
  };

  const encrypted = newSshKey("ed25519", { passphrase: "hunter2" }).privateKey;
  const gone = "/nonexistent/agent";
  const cases: [string, () => Partial<Connection>, string, string][] = [
    [
      "an encrypted key without its passphrase",
      () => ({ privateKey: encrypted }),
      "ssh: this private key is passphrase protected",
      "the private key for gate (127.0.0.1) is encrypted; set its passphrase,",
    ],
    [
      "a wrong passphrase",
      () => ({ privateKey: encrypted, privateKeyPassword: "wrong" }),
      "x509: decryption password incorrect",
      "the passphrase of the private key for gate (127.0.0.1) is wrong; correct passphrase:",
    ],
    [
      "a passphrase for a key that is not encrypted",
      () => ({ privateKeyPassword: "hunter2" }),
      "ssh: key is not password protected",
      "the private key for gate (127.0.0.1) is not encrypted, and the provider then accepts no passphrase;",
    ],
    [
      "a text that is not a key",
      () => ({ privateKey: "KEY" }),
      "ssh: no key found",
      "the provider cannot read the private key for gate (127.0.0.1);",
    ],
    [
      "an encrypted key for the jump host",
      () => ({ proxy: { ...working(), privateKey: encrypted } }),
      "proxy: ssh: this private key is passphrase protected",
      "the private key for the host on the way to gate (127.0.0.1) is encrypted;",
    ],
    [
      "an agent that does not answer, although there is a key",
      () => ({ agentSocketPath: gone }),
      `dial unix ${gone}: connect: no such file or directory`,
      "no ssh-agent answers for gate (127.0.0.1), and the provider then does not log in, even with a private key",
    ],
    [
      "neither a key nor an agent",
      () => ({ privateKey: undefined }),
      "attempted methods [none]",
      "there is nothing to log in to gate (127.0.0.1) with as 'anyone'; set privateKeyFile,",
    ],
    [
      "a host key of a type that the host does not have",
      () => ({ hostKey: newSshKey("ecdsa").publicLine }),
      "ssh: no common algorithm for host key; we offered: [ecdsa-sha2-nistp256], peer offered: [ssh-ed25519]",
      "gate (127.0.0.1) has no host key of the type in the settings or known_hosts; set hostKey",
    ],
    [
      "a host key that is not one",
      () => ({ hostKey: "ssh-ed25519" }),
      "failed to parse host key: ssh: no key found",
      "the hostKey of gate (127.0.0.1) is not a public key;",
    ],
  ];

  it.each(cases)("is explained: %s", async (_what, wrong, error, advice) => {
    connection = { ...working(), ...wrong() };
    const said = await failedUp(stack);
    expect(said).toContain(error);
    expect(said).toContain(advice);
  });

  it("is not mistaken for a script that cannot reach something", async () => {
    connection = working();
    command = "echo 'ssh: connect to host gate port 22: Connection refused' >&2; exit 3";
    const said = await failedUp(stack);
    command = "true";
    expect(said).toContain("Connection refused");
    expect(said).not.toContain("cannot be reached");
  });

  it("is explained when a removal uses the connection of the last 'pulumi up', which 'pulumi up' replaces", async () => {
    connection = working();
    await stack.up();
    const old = server;
    server = await startSshServer();
    await old.close();
    connection = working();
    let said = "";
    const removal = stack.automation.destroy({ runProgram: true, onOutput: (text) => (said += text) });
    await expect(removal).rejects.toThrow();
    expect(said).toContain(
      `gate (127.0.0.1) cannot be reached on port ${old.port}; check that it is on, that the address and port are right, and that no firewall is in the way; a removal uses the address, keys and host key of the last 'pulumi up': if the settings have changed since, run 'pulumi up' first`,
    );
    await stack.up();
    expect((await stack.destroy()).changes).toEqual({ delete: 2 });
  });
});
