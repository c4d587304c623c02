import { expect, test } from "vitest";
import { renderSshdDropIn } from "../../components/render/sshdDropIn.ts";

test("the sshd drop-in without settings affects only the tunnels' accounts", () => {
  expect(renderSshdDropIn({ owner: "p-s", clientAliveIntervalSec: 15, clientAliveCountMax: 3 })).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.
Match User tunnel-*
    AllowUsers tunnel-* :p-s
    AuthorizedKeysFile /etc/ssh/ssh-reverse-tunnel/%u.keys
    AuthorizedKeysCommand none
    TrustedUserCAKeys none
    PubkeyAuthentication yes
    AuthenticationMethods publickey
    ForceCommand none
    DisableForwarding no
    AllowTcpForwarding yes
    AllowStreamLocalForwarding no
    GatewayPorts clientspecified
    PermitListen any
    PermitOpen any
    AllowAgentForwarding no
    X11Forwarding no
    PermitTTY no
    PermitTunnel no
    PermitUserRC no
    ClientAliveInterval 15
    ClientAliveCountMax 3
    UnusedConnectionTimeout none`,
  );
});

test("the sshd drop-in with everything set has AllowUsers before its Match", () => {
  expect(
    renderSshdDropIn({
      owner: "p-s",
      allowUsers: ["root", "alice"],
      clientAliveIntervalSec: 60,
      clientAliveCountMax: 5,
    }),
  ).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.
AllowUsers root alice tunnel-*
Match User tunnel-*
    AllowUsers tunnel-* :p-s
    AuthorizedKeysFile /etc/ssh/ssh-reverse-tunnel/%u.keys
    AuthorizedKeysCommand none
    TrustedUserCAKeys none
    PubkeyAuthentication yes
    AuthenticationMethods publickey
    ForceCommand none
    DisableForwarding no
    AllowTcpForwarding yes
    AllowStreamLocalForwarding no
    GatewayPorts clientspecified
    PermitListen any
    PermitOpen any
    AllowAgentForwarding no
    X11Forwarding no
    PermitTTY no
    PermitTunnel no
    PermitUserRC no
    ClientAliveInterval 60
    ClientAliveCountMax 5
    UnusedConnectionTimeout none`,
  );
});

test("the sshd drop-in has one word for each entry of allowUsers", () => {
  for (const text of ["", "a b", "a\nPermitRootLogin yes", "#a", 'a"b']) {
    const args = {
      owner: "p-s",
      clientAliveIntervalSec: 15,
      clientAliveCountMax: 3,
      allowUsers: ["a", text],
    };
    expect(() => renderSshdDropIn(args), JSON.stringify(text)).toThrow("must be one word");
  }
});
