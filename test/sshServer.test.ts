import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { SshServer } from "../components/index.ts";
import { ownValues } from "./support/expectScript.ts";
import { gate, hostKey, nas } from "./support/hosts.ts";
import { record } from "./support/mocks.ts";

const dropIn = [
  "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
  "Match Group ssh-tunnel",
  "    AuthorizedKeysFile /etc/ssh/ssh-reverse-tunnel/%u.keys",
  "    AuthenticationMethods publickey",
  "    AllowTcpForwarding yes",
  "    AllowStreamLocalForwarding no",
  "    GatewayPorts clientspecified",
  "    AllowAgentForwarding no",
  "    X11Forwarding no",
  "    PermitTTY no",
  "    PermitTunnel no",
  "    PermitUserRC no",
  "    ClientAliveInterval 15",
  "    ClientAliveCountMax 3",
  "    UnusedConnectionTimeout none",
].join("\n");

describe("sshd on a public host", () => {
  test("is changed by one script and confirmed by another over a new connection", async () => {
    const recording = await record(() => new SshServer("gate-server", { host: gate }));
    expect(recording.childrenOf(recording.component("SshServer", "gate-server"))).toEqual([
      "Command gate-server-change",
      "Command gate-server-confirm",
    ]);
    expect(recording.command("gate-server-confirm").waitsFor).toEqual(["gate-server-change"]);
  });

  test("gets the drop-in, the takeover and what the lock-out protection must know", async () => {
    const recording = await record(() => new SshServer("gate-server", { host: gate }));
    const takeover = readFileSync(
      new URL("../components/scripts/installed/takeover.sh", import.meta.url),
      "utf8",
    );
    const values = {
      DROP_IN: dropIn,
      ACCOUNTS: "tunnel-*",
      GROUP: "ssh-tunnel",
      ADMIN: "root",
      TAKEOVER: "/usr/local/lib/ssh-reverse-tunnel-dev/bin/takeover",
      TAKEOVER_TEXT: takeover.slice(0, -1),
    };
    const change = recording.command("gate-server-change");
    const confirm = recording.command("gate-server-confirm");
    expect([change.script, confirm.script]).toEqual(["sshServer", "sshServer"]);
    expect(ownValues(change.values)).toEqual({ ...values, CONFIRM: "no" });
    expect(ownValues(confirm.values)).toEqual({ ...values, CONFIRM: "yes" });
    expect([change.values.WHAT, confirm.values.WHAT]).toEqual(["sshd's drop-in", "sshd's drop-in"]);
  });

  test("says in the drop-in what the settings say", async () => {
    const recording = await record(
      () =>
        new SshServer("gate-server", {
          host: gate,
          allowUsers: ["root", "alice"],
          clientAliveInterval: 60,
          clientAliveCountMax: 5,
          permitListen: ["127.0.0.1:2222"],
          permitOpen: ["127.0.0.1:2222"],
        }),
    );
    const lines = recording.command("gate-server-change").values.DROP_IN!.split("\n");
    expect(lines).toContain("AllowUsers root alice tunnel-*");
    expect(lines).toContain("    ClientAliveInterval 60");
    expect(lines).toContain("    ClientAliveCountMax 5");
    expect(lines).toContain("    PermitListen 127.0.0.1:2222");
    expect(lines).toContain("    PermitOpen 127.0.0.1:2222");
  });

  test("must keep the login of the admin, whoever that is", async () => {
    const connection = { host: "198.18.0.3", hostKey };
    const named = await record(() => new SshServer("nas-server", { host: nas }));
    expect(named.command("nas-server-change").values.ADMIN).toBe("admin");
    const unnamed = await record(() => new SshServer("nas-server", { host: { name: "nas", connection } }));
    expect(unnamed.command("nas-server-change").values.ADMIN).toBe("root");
  });
});
