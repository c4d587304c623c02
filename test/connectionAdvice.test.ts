import * as pulumi from "@pulumi/pulumi";
import { describe, expect, test, vi } from "vitest";
import { adviceFor, connectionAdvice } from "../components/connectionAdvice.ts";
import { gate } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";

const advice = (error: string) => adviceFor(error, "gate (198.18.0.2)", 2200, "admin");

const otherKey =
  "gate (198.18.0.2) answers with another host key than the settings or known_hosts say; if the host was not reinstalled, somebody may be in between: compare with 'ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub' on its console, then correct hostKey";
const refused =
  "gate (198.18.0.2) refuses the login of 'admin'; check the key or password of admin, and that 'admin' may log in there: 'ssh -p 2200 admin@198.18.0.2'";
const unreachable =
  "gate (198.18.0.2) cannot be reached on port 2200; check that it is on, that the address and port are right, and that no firewall is in the way";

describe("what the provider says of a connection is explained", () => {
  test.each([
    ["ssh: handshake failed: ssh: host key mismatch", otherKey],
    [
      "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain",
      refused,
    ],
    ["dial tcp 198.18.0.2:2200: connect: connection refused", unreachable],
    ["dial tcp 198.18.0.2:2200: connect: no route to host", unreachable],
    ["dial tcp: lookup gate.invalid: no such host", unreachable],
    ["dial tcp 198.18.0.2:2200: i/o timeout", unreachable],
    ["read tcp 198.18.0.1:40000->198.18.0.2:2200: read: connection reset by peer", unreachable],
    ["ssh: handshake failed: EOF", unreachable],
  ])("%s", (error, expected) => {
    expect(advice(error)).toBe(expected);
  });

  test("and an error of a script, which has its own sentence, is not", () => {
    expect(
      advice(
        "error: gate (198.18.0.2): port 2222 is in use by nginx (pid 812)\nProcess exited with status 3",
      ),
    ).toBeUndefined();
  });
});

describe("the error hook", () => {
  const say = async (errors: string[]) => {
    const log = vi.spyOn(pulumi.log, "error").mockResolvedValue();
    try {
      const retry = await record(async () => {
        const hook = connectionAdvice("nas-script", gate);
        const args = { urn: "", id: "", name: "", type: "", failedOperation: "create" as const, errors };
        const answer = await hook.callback(args);
        await new Promise((resolve) => setImmediate(resolve));
        return { answer, said: log.mock.calls.map(([message]) => message) };
      });
      return retry.result;
    } finally {
      log.mockRestore();
    }
  };

  test("says it as an error, and does not try again, as the provider has already", async () => {
    const { answer, said } = await say(["ssh: handshake failed: ssh: unable to authenticate"]);
    expect(said).toEqual([
      "gate (198.18.0.2) refuses the login of 'root'; check the key or password of admin, and that 'root' may log in there: 'ssh -p 22 root@198.18.0.2'",
    ]);
    expect(answer).toBe(false);
  });

  test("says nothing where a script failed", async () => {
    const { said } = await say(["Process exited with status 3"]);
    expect(said).toEqual([]);
  });
});
