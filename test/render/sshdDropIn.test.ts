import { expect, test } from "vitest";
import { renderSshdDropIn } from "../../components/render/sshdDropIn.ts";
import { sshdKeywords } from "../support/sshdConfigKeywords.ts";

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
    ChrootDirectory none
    MaxSessions 10
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
    ChannelTimeout global=0 *=0
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
    ChrootDirectory none
    MaxSessions 10
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
    ChannelTimeout global=0 *=0
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

test("the sshd drop-in sets each keyword that the table of keywords calls fixed, and no other", () => {
  const lines = renderSshdDropIn({ owner: "p-s", clientAliveIntervalSec: 15, clientAliveCountMax: 3 }).split(
    "\n",
  );
  const set = lines.flatMap((line) => /^ {4}(\w+) /.exec(line)?.[1] ?? []);
  const fixed = Object.keys(sshdKeywords).filter((name) => sshdKeywords[name]!.what === "fixed");
  expect(set.toSorted()).toEqual(fixed.toSorted());
});
