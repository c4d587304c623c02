import * as pulumi from "@pulumi/pulumi";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { adviceFor, connectionAdvice, exitStatus } from "../../components/remote/connectionAdvice.ts";
import type { Host } from "../../components/index.ts";
import { readScript } from "../../components/remote/scriptFiles.ts";
import { gate, nas } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";

const advice = (error: string) => adviceFor(error, "gate (198.18.0.2)", 2200, "admin", "198.18.0.2");

const otherKey =
  "gate (198.18.0.2) answers with a host key that differs from the settings or known_hosts; if the host was not reinstalled, this may be an attack: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey";
const refused =
  "gate (198.18.0.2) refuses the login of 'admin'; check the key or password of admin, and that 'admin' may log in there: 'ssh -p 2200 admin@198.18.0.2'";
const unreachable =
  "gate (198.18.0.2) cannot be reached on port 2200; check that it is on, that the address and port are right, and that no firewall is in the way";
const encrypted =
  "the private key for gate (198.18.0.2) is encrypted; set its passphrase, or leave it out, and add it to your ssh-agent with ssh-add";
const unreadable =
  "the provider cannot read the private key for gate (198.18.0.2); it must be the whole file, in OpenSSH's format: 'ssh-keygen -y -f <key>' shows whether ssh can read it";

test("a host key that comes from the stack that manages the host is corrected there", () => {
  const error = "ssh: handshake failed: ssh: host key mismatch";
  expect(adviceFor(error, "gate (198.18.0.2)", 22, "root", "198.18.0.2", "public")).toContain(
    "then correct hostKey or, if the settings here have none, run 'pulumi up' with another revision in the stack 'public' first",
  );
});

describe("the provider's message about a connection is explained", () => {
  test.each([
    ["ssh: handshake failed: ssh: host key mismatch", otherKey],
    [
      "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
      refused,
    ],
    [
      "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none], no supported methods remain",
      "there is nothing to log in to gate (198.18.0.2) with as 'admin'; set privateKeyFile, privateKey or password of admin, or start an ssh-agent (SSH_AUTH_SOCK) and add the key with ssh-add",
    ],
    [
      "ssh: handshake failed: ssh: disconnect, reason 2: Too many authentication failures",
      "gate (198.18.0.2) ends the login of 'admin' after too many keys; the ssh-agent offers all that it has ('ssh-add -l'): remove some, or unset SSH_AUTH_SOCK and set privateKeyFile",
    ],
    [
      "ssh: handshake failed: ssh: no common algorithm for host key; we offered: [ssh-ed25519], peer offered: [rsa-sha2-512 ecdsa-sha2-nistp256]",
      "gate (198.18.0.2) has no host key of the type in the settings or known_hosts; set hostKey to one that it has, of type ed25519 or ecdsa",
    ],
    [
      "ssh: handshake failed: ssh: no common algorithm for client to server cipher; we offered: [aes128-ctr], peer offered: [aes256-cbc]",
      "gate (198.18.0.2) and the provider have no algorithm in common; allow one of those that the provider offered in the host's sshd_config",
    ],
    [
      "failed to parse host key: ssh: no key found",
      "the hostKey of gate (198.18.0.2) is not a public key; set it to the first two fields of /etc/ssh/ssh_host_ed25519_key.pub there",
    ],
    ["ssh: this private key is passphrase protected", encrypted],
    [
      "proxy: ssh: this private key is passphrase protected",
      encrypted.replace("for gate", "for the host on the way to gate"),
    ],
    [
      "x509: decryption password incorrect",
      "the passphrase of the private key for gate (198.18.0.2) is wrong; correct passphrase: 'ssh-keygen -y -f <key>' tests it",
    ],
    [
      "ssh: key is not password protected",
      "the private key for gate (198.18.0.2) is not encrypted, and the provider then accepts no passphrase; leave out passphrase",
    ],
    [
      "ssh: not an encrypted key",
      "the private key for gate (198.18.0.2) is not encrypted, and the provider then accepts no passphrase; leave out passphrase",
    ],
    ["ssh: no key found", unreadable],
    ["proxy: ssh: no key found", unreadable.replace("for gate", "for the host on the way to gate")],
    ['ssh: unsupported key type "ENCRYPTED PRIVATE KEY"', unreadable],
    ["ssh: unhandled key type", unreadable],
    ["ssh: invalid openssh private key format", unreadable],
    ['ssh: unknown cipher "aes128-ctr", only supports "aes256-ctr" or "aes256-cbc"', unreadable],
    [
      "dial unix /tmp/ssh-1/agent.2: connect: no such file or directory",
      "no ssh-agent answers for gate (198.18.0.2), and the provider then does not log in, even with a private key or a password; start it, or correct agentSocketPath or SSH_AUTH_SOCK",
    ],
    [
      "proxy: dial unix /tmp/ssh-1/agent.2: connect: connection refused",
      "no ssh-agent answers for the host on the way to gate (198.18.0.2), and the provider then does not log in, even with a private key or a password; start it, or correct agentSocketPath or SSH_AUTH_SOCK",
    ],
    ["dial tcp 198.18.0.2:2200: connect: connection refused", unreachable],
    ["dial tcp 198.18.0.2:2200: connect: no route to host", unreachable],
    ["dial tcp: lookup gate.invalid: no such host", unreachable],
    ["dial tcp 198.18.0.2:2200: i/o timeout", unreachable],
    ["read tcp 198.18.0.1:40000->198.18.0.2:2200: read: connection reset by peer", unreachable],
    ["ssh: handshake failed: EOF", unreachable],
    ["ssh: rejected: connect failed (Connection refused)", unreachable],
  ])("%s", (error, expected) => {
    expect(advice(error)).toBe(expected);
  });

  test.each([
    "port 2222 is in use by nginx (pid 812)",
    "the tunnel did not come up (ssh: connect to host gate port 22: Connection refused)",
    "this private key is passphrase protected",
    "read: Connection reset by peer",
  ])("unless it is an error of a script, which has its own sentence: %s", (sentence) => {
    const ran = `running "sh -s -- apply":\nerror: gate (198.18.0.2): ${sentence}`;
    expect(advice(`Process exited with status 3: ${ran}`)).toBeUndefined();
    expect(advice(`Process exited with status 143 from signal TERM: ${ran}`)).toBeUndefined();
  });
});

describe("the error hook", () => {
  // Only the timers of the hook itself: Pulumi has its own.
  beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "Date"] }));
  afterEach(() => void vi.useRealTimers());

  /**
   * Calls the hook as the engine does, again as long as it asks to: each try takes some seconds and ends with the next
   * of the errors, the last of which repeats. Returns how often it asked, after how many seconds it gave up, and its
   * messages.
   */
  const failing = async (
    host: Host,
    tries: string[],
    {
      seconds = 1,
      ifRefused = "",
      operation = "create",
    }: { seconds?: number; ifRefused?: string; operation?: "create" | "delete" } = {},
  ) => {
    const log = vi.spyOn(pulumi.log, "error").mockResolvedValue();
    try {
      const { result } = await record(async () => {
        const { callback } = connectionAdvice("nas-script", host, ifRefused || undefined);
        const begun = Date.now();
        const errors: string[] = [];
        const oldInputs = { connection: pulumi.secret({ ...host.connection, host: "198.18.0.9" }) };
        const once = async () => {
          errors.unshift(tries[errors.length] ?? tries.at(-1)!);
          vi.setSystemTime(Date.now() + seconds * 1000);
          const args = { urn: "", id: "", name: "", type: "", failedOperation: operation, oldInputs };
          let answer: boolean | undefined;
          void Promise.resolve(callback({ ...args, errors: [...errors] })).then((each) => (answer = each));
          while (answer === undefined) await vi.advanceTimersByTimeAsync(100);
          return answer;
        };
        // As the engine does, which gives up by itself only after a hundred.
        while (errors.length < 100 && (await once()));
        const after = Math.round((Date.now() - begun) / 1000);
        return { again: errors.length - 1, after, said: log.mock.calls.map(([message]) => message) };
      });
      return result;
    } finally {
      log.mockRestore();
    }
  };

  const through = { ...nas, throughTunnel: "gate" };
  const cut = "wait: remote command exited without exit status or exit signal";
  const refusedInside = "ssh: rejected: connect failed (Connection refused)";
  const ended = (status: number) =>
    `Process exited with status ${status}: running "sh -s -- apply":\nerror: gate: some sentence`;
  const activeAgain = ended(exitStatus.confirmAgain);
  const restarting = ended(exitStatus.tunnelRestarts);

  test("shows the explanation as an error, and does not try again, as the provider has already done so", async () => {
    const { again, said } = await failing(gate, ["ssh: handshake failed: ssh: unable to authenticate"]);
    expect(said).toEqual([
      "gate (198.18.0.2) refuses the login of 'root'; check the key or password of admin, and that 'root' may log in there: 'ssh -p 22 root@198.18.0.2'",
    ]);
    expect(again).toBe(0);
  });

  test("shows nothing if a script failed", async () => {
    expect(await failing(gate, ["Process exited with status 3"])).toMatchObject({ again: 0, said: [] });
    expect(await failing(through, ["Process exited with status 3"])).toMatchObject({ again: 0, said: [] });
  });

  test("adds what a refusal means for this script", async () => {
    const { said } = await failing(gate, ["ssh: handshake failed: EOF"], { ifRefused: "it goes back" });
    expect(said).toEqual([
      expect.stringMatching(/^gate \(198\.18\.0\.2\) cannot be reached .*; it goes back$/),
    ]);
  });

  test("tries exactly once more if the host has made a change active again", async () => {
    expect(await failing(gate, [activeAgain])).toMatchObject({ again: 1, said: [] });
    expect(await failing(gate, [activeAgain, "Process exited with status 3"])).toMatchObject({ again: 1 });
  });

  test("recognizes these ends of a script only by the exit statuses that the library gives them", async () => {
    expect(readScript("messages")).toContain(`\nCONFIRM_AGAIN=${exitStatus.confirmAgain}\n`);
    expect(readScript("messages")).toContain(`\nTUNNEL_RESTARTS=${exitStatus.tunnelRestarts}\n`);
    const printed = `${ended(3)}\nProcess exited with status ${exitStatus.tunnelRestarts}`;
    expect(await failing(through, [printed])).toMatchObject({ again: 0 });
  });

  test("tries again while a tunnel is restarting", async () => {
    const { again } = await failing(through, [
      ...Array<string>(7).fill(restarting),
      "Process exited with status 3",
    ]);
    expect(again).toBe(7);
  });

  test.each([cut, refusedInside, "dial tcp 198.18.0.2:22: i/o timeout", "ssh: handshake failed: EOF"])(
    "tries again every second if a connection through a tunnel ends with '%s'",
    async (error) => {
      const { again, after, said } = await failing(through, [error, error, "Process exited with status 3"], {
        seconds: 0,
      });
      expect({ again, after, said }).toEqual({ again: 2, after: 2, said: [] });
    },
  );

  test("does not try again if it is the script that could not reach something", async () => {
    const { again, said } = await failing(through, [
      `${ended(3)}\nssh: connect to host gate port 22: Connection refused`,
    ]);
    expect({ again, said }).toEqual({ again: 0, said: [] });
  });

  test("says of a removal that it connects as the last 'pulumi up' did, and where to", async () => {
    const { said } = await failing(gate, ["ssh: handshake failed: ssh: host key mismatch"], {
      operation: "delete",
    });
    expect(said).toEqual([
      expect.stringMatching(
        /^gate \(198\.18\.0\.9\) answers with a host key .*; a removal uses the address, keys and host key of the last 'pulumi up': if the settings have changed since, run 'pulumi up' first$/,
      ),
    ]);
  });

  test("does not try any of these again if the connection is direct", async () => {
    for (const error of [cut, refusedInside, "dial tcp 198.18.0.3:22: i/o timeout"]) {
      expect((await failing(nas, [error])).again, error).toBe(0);
    }
  });

  test("does not try again after an error that a tunnel cannot have caused", async () => {
    for (const error of ["ssh: host key mismatch", "ssh: unable to authenticate"]) {
      expect((await failing(through, [error])).again, error).toBe(0);
    }
  });

  test("gives up after 40 seconds if it confirms a change, before the host's rollback, and says why", async () => {
    const { after, said } = await failing(through, [refusedInside], { ifRefused: "it goes back" });
    expect(after).toBeGreaterThan(40);
    expect(after).toBeLessThan(45);
    expect(said).toEqual([
      "nas (through its tunnel to gate) cannot be reached on port 22; check that it is on, that the address and port are right, and that no firewall is in the way; it goes back",
    ]);
    expect((await failing(gate, [restarting], { ifRefused: "it goes back" })).after).toBeLessThan(45);
  });

  test("continues, if it confirms nothing, until the host has rolled back what another run has left", async () => {
    const { after } = await failing(through, [refusedInside]);
    expect(after).toBeGreaterThan(90);
    expect(after).toBeLessThan(95);
  });

  test("gives up later on a host whose trials take longer", async () => {
    const host = { ...through, trialSec: 180 };
    const confirming = (await failing(host, [refusedInside], { ifRefused: "it goes back" })).after;
    expect(confirming).toBeGreaterThan(160);
    expect(confirming).toBeLessThan(165);
    const { after } = await failing(host, [refusedInside], { seconds: 5 });
    expect(after).toBeGreaterThan(210);
    expect(after).toBeLessThan(220);
  });

  test("includes the time that each try takes", async () => {
    expect((await failing(through, [refusedInside], { seconds: 30, ifRefused: "it goes back" })).again).toBe(
      2,
    );
  });
});
