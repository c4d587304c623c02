import { afterAll, beforeAll, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { type Part, tunnelSettings } from "../lab/support/settings.ts";

// Pulumi works on what is ready in turn. With one step at a time, all tunnels are changed before the first is confirmed.

const COUNT = 25;
let lab: Lab;
let gate: Host;
let internal: Host[];

const settings = (changes: (host: Host) => Part) => ({
  publicHosts: { gate: labAdmin(lab, gate) },
  internalHosts: Object.fromEntries(
    internal.map((host, index) => {
      const forwards = { ssh: { remotePort: 2201 + index, target: 22 } };
      const { internalHosts } = tunnelSettings(lab, gate, host, {
        forwards,
        logins: undefined,
        nas: changes(host),
      });
      return [host.name, (internalHosts as Part)[host.name]];
    }),
  ),
});

const onAll = async (command: string) =>
  (await Promise.all(internal.map((host) => host.run(command, { allowFailure: true })))).map(
    ({ stdout }) => stdout,
  );

beforeAll(async () => {
  const names = Array.from({ length: COUNT }, (_, index) => `site${index + 1}`);
  lab = await Lab.up({ name: "queue", hosts: ["gate", ...names] });
  gate = lab.host("gate");
  internal = names.map((name) => lab.host(name));
});

afterAll(() => Lab.clear("queue"));

it(
  `confirms a change to ${COUNT} tunnels that the admin comes through, one step at a time, and none is rolled back`,
  { timeout: 1_200_000 },
  async () => {
    await (await openProgram(lab, { config: settings(() => ({})) })).up();
    const stack = await openProgram(lab, {
      config: settings((host) => ({
        admin: { ...labAdmin(lab, host).admin, throughTunnel: "ssh" },
        keepAlive: { serverAliveIntervalSec: 5 },
      })),
      parallel: 1,
    });
    const { stdout } = await stack.up();
    const confirmed = stdout.match(
      /changed: site\d+ .*: confirmed the tunnel's new settings by a new login/g,
    );
    expect(new Set(confirmed).size).toBe(COUNT);
    for (const text of await onAll("cat /var/lib/tunnel-*/.ssh/ssh-reverse-tunnel/*.conf"))
      expect(text).toContain("ServerAliveInterval 5");
    expect(await onAll("ls -d /var/lib/*rollback*")).toEqual(internal.map(() => ""));
    expect((await onAll("journalctl -q -o cat")).join()).not.toContain("the old one is back");
  },
);
