import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { tunnelSettings } from "../lab/support/settings.ts";

/**
 * A minimal system may lack programs that our scripts need, and may have accounts that sshd does not admit. A story.
 */
describe("a host that lacks what a tunnel needs", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Snapshot[];

  beforeAll(async () => {
    lab = await Lab.up({ name: "lacking", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    // Otherwise root could not even log in if bash is missing.
    for (const host of [gate, nas]) await host.run("usermod --shell /bin/sh root");
    await nas.run(`usermod --password '!' alice
      echo 'UsePAM no' >/etc/ssh/sshd_config.d/50-pam.conf && systemctl restart ssh`);
    before = await Promise.all([gate, nas].map((host) => host.snapshot()));
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(() => Lab.clear("lacking"));

  it.each([
    ["ss", "iproute2"],
    ["bash", "it"],
    ["setpriv", "util-linux"],
    ["flock", "util-linux"],
  ])(
    "is refused with what to install, before anything is changed on either host: %s",
    async (program, from) => {
      const hosts = [gate, nas];
      const file = `/usr/bin/${program}`;
      for (const host of hosts) await host.run(`mv ${file} ${file}.away`);
      try {
        const without = await Promise.all(hosts.map((host) => host.snapshot()));
        const sentence = `the command '${program}' is missing; install ${from} and run 'pulumi up' again`;
        expect(await failedUp(stack)).toMatch(new RegExp(`error: (gate|nas) \\(\\S+\\): ${sentence}`));
        for (const [index, host] of hosts.entries()) {
          expect(await leftovers(host, without[index]!), host.name).toEqual([]);
        }
      } finally {
        for (const host of hosts) await host.run(`mv ${file}.away ${file}`);
      }
    },
  );

  it("is refused if sshd would not admit an account, because it is locked and UsePAM is off", async () => {
    const logins = [{ from: "root", to: "alice" }];
    await stack.setConfig(tunnelSettings(lab, gate, nas, { logins }));
    expect(await failedUp(stack)).toMatch(
      /error: nas \(.*\): the account 'alice' is locked \(its password begins with '!'\), and sshd refuses even its keys, since UsePAM is no; .* 'usermod --password '\*' alice'/,
    );
    expect((await nas.run("cat /home/alice/.ssh/authorized_keys")).stdout).not.toContain("tunnel");
    await nas.run("usermod --password '*' alice");
    await stack.up();
    expect((await gate.run("ssh alice@nas id -un")).stdout).toBe("alice");
  });

  it("is as it was after destroy, once it has had everything", async () => {
    await stack.destroy();
    await nas.run("usermod --password '!' alice");
    for (const [index, host] of [gate, nas].entries()) {
      expect(await leftovers(host, before[index]!), host.name).toEqual([]);
    }
  });
});
