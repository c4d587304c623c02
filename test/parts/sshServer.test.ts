import { describe, expect, test } from "vitest";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { expectTrial, installed } from "../support/expectScript.ts";
import { gate, hostKey, nas } from "../support/hosts.ts";
import { record } from "../../tools/mocks.ts";
import { promiseOf } from "../support/promiseOf.ts";

const dropIn = [
  "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
  "Match User tunnel-*",
  "    AllowUsers tunnel-* :ssh-reverse-tunnel-dev",
  "    AuthorizedKeysFile /etc/ssh/ssh-reverse-tunnel/%u.keys",
  "    AuthorizedKeysCommand none",
  "    TrustedUserCAKeys none",
  "    PubkeyAuthentication yes",
  "    AuthenticationMethods publickey",
  "    ForceCommand none",
  "    ChrootDirectory none",
  "    MaxSessions 10",
  "    DisableForwarding no",
  "    AllowTcpForwarding yes",
  "    AllowStreamLocalForwarding no",
  "    GatewayPorts clientspecified",
  "    PermitListen any",
  "    PermitOpen any",
  "    AllowAgentForwarding no",
  "    X11Forwarding no",
  "    PermitTTY no",
  "    PermitTunnel no",
  "    PermitUserRC no",
  "    ClientAliveInterval 15",
  "    ClientAliveCountMax 3",
  "    ChannelTimeout global=0 *=0",
  "    UnusedConnectionTimeout none",
].join("\n");

describe("sshd on a public host", () => {
  test("is changed on trial, with the drop-in, evict-stale and what the lock-out protection needs to know", async () => {
    expect.hasAssertions();
    const recording = await record(() => new SshServer("gate-server", { host: gate }));
    expectTrial(
      recording,
      { name: "sshd", seconds: "60" },
      {
        component: ["SshServer", "gate-server"],
        script: "sshServer",
        host: "gate (198.18.0.2)",
        what: "sshd's drop-in",
        values: {
          DROP_IN: dropIn,
          ACCOUNTS: "tunnel-*",
          GROUP: "ssh-tunnel",
          ADMIN: "root",
          SERVES: "yes",
          EVICT_STALE: "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/evict-stale",
          EVICT_STALE_TEXT: installed("evictStale"),
        },
      },
    );
    expect(recording.result.evictStale).toBe(
      "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel-dev/bin/evict-stale",
    );
  });

  test("is confirmed over a new connection, which is tried only a few times", async () => {
    const recording = await record(() => new SshServer("gate-server", { host: gate }));
    expect(recording.command("gate-server-confirm").waitsFor).toEqual(["gate-server-change"]);
    const limit = (name: string) =>
      (recording.command(name).inputs.connection as { dialErrorLimit: number }).dialErrorLimit;
    // The change may refuse it, and fail2ban counts.
    expect([limit("gate-server-change"), limit("gate-server-confirm")]).toEqual([10, 2]);
  });

  test("has the settings in its drop-in", async () => {
    const recording = await record(
      () =>
        new SshServer("gate-server", {
          host: gate,
          allowUsers: ["root", "alice"],
          clientAliveIntervalSec: 60,
          clientAliveCountMax: 5,
        }),
    );
    const lines = recording.command("gate-server-change").values.DROP_IN!.split("\n");
    expect(lines).toContain("AllowUsers root alice tunnel-*");
    expect(lines).toContain("    ClientAliveInterval 60");
    expect(lines).toContain("    ClientAliveCountMax 5");
  });

  test("must admit the login of the admin, whichever account that is", async () => {
    const connection = { host: "198.18.0.3", hostKey };
    const named = await record(() => new SshServer("nas-server", { host: nas }));
    expect(named.command("nas-server-change").values.ADMIN).toBe("admin");
    const unnamed = await record(() => new SshServer("nas-server", { host: { name: "nas", connection } }));
    expect(unnamed.command("nas-server-change").values.ADMIN).toBe("root");
  });
});

test("a changed revision, even of several lines, changes the script and keeps the fingerprint", async () => {
  const look = async (revision: string) => {
    const recording = await record(() => new SshServer("gate-server", { host: { ...gate, revision } }));
    return {
      fingerprint: await promiseOf(recording.result.fingerprint),
      revision: recording.command("gate-server-change").values.REVISION,
    };
  };
  const one = await look("1");
  const other = await look("it's\n'another'\nACCOUNTS='*'\n");
  expect(other.revision).not.toBe(one.revision);
  expect(other.fingerprint).toBe(one.fingerprint);
});
