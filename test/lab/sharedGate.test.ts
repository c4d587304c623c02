import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { account } from "../../components/parts/account/account.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { hostWithTools, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { oneIn, sometimes } from "./support/sample.ts";
import { tunnelSettings } from "./support/settings.ts";
import { sshAsUser } from "./support/ssh.ts";
import { until } from "./support/until.ts";

/** A public host that others use, too: people whose names or groups resemble ours, and a second stack. */
describe("on a public host shared with others,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let before: Record<string, Snapshot>;

  beforeAll(async () => {
    lab = await Lab.up({ name: "sshd-shared", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
  });

  afterAll(() => Lab.clear("sshd-shared"));

  const onGate = async (command: string) => (await gate.run(command)).stdout;
  const login = async (user: string) => (await sshAsUser(lab, "-l", user, "gate", "id -un")).stdout;
  const dropIns = "/etc/ssh/sshd_config.d";

  describe("with accounts that sshd would treat as a tunnel's,", () => {
    let revision = 0;
    let stack: LabStack;

    beforeAll(async () => {
      const host = () => ({ ...hostWithTools(lab, gate), revision: String(revision++) });
      stack = await openStack({
        project: "p",
        stack: "s",
        program: () => Promise.resolve(void new SshServer("server", { host: host() })),
        directory: `${lab.directory}/stacks/s`,
      });
    });

    const strangers: [string, string, string, string][] = [
      [
        "a group of that name with members",
        "groupadd ssh-tunnel && usermod -aG ssh-tunnel alice",
        "gpasswd --delete alice ssh-tunnel && groupdel ssh-tunnel",
        "the group 'ssh-tunnel' is for the tunnels' accounts, and it has other members: alice; take them out of it",
      ],
      [
        "a user whose primary group it is",
        "groupadd ssh-tunnel && usermod -g ssh-tunnel alice",
        "usermod -g alice alice && groupdel ssh-tunnel",
        "the group 'ssh-tunnel' is for the tunnels' accounts, and it has other members: alice; take them out of it",
      ],
      [
        "an account with such a name",
        "useradd tunnel-bob",
        "userdel tunnel-bob",
        "sshd takes every account 'tunnel-*' for a tunnel's, which AllowUsers allows and whose own keys do not count, but there are others: tunnel-bob; give them other names",
      ],
    ];

    it.each(oneIn(3, strangers, "strangers"))(
      "up refuses %s before any change, and everyone who could log in still can",
      async (...row) => {
        const [, begin, end, sentence] = row;
        await gate.run(begin);
        expect(await failedUp(stack)).toContain(sentence);
        // The tools of the scripts are installed before any of them checks.
        expect(await onGate(`ls ${dropIns}; find /var/lib/ssh-reverse-tunnel -type f ! -name .tools`)).toBe(
          "",
        );
        expect(await login("alice")).toBe("alice");
        await gate.run(end);
      },
    );

    sometimes.it("the next check reports such accounts if they are added later", async () => {
      await stack.up();
      for (const [, begin, end, sentence] of strangers) {
        await gate.run(begin);
        expect(await failedUp(stack)).toContain(sentence);
        expect(await login("alice")).toBe("alice");
        await gate.run(end);
      }
    });

    const matches: [string, string, string][] = [
      [
        "a drop-in before ours",
        `${dropIns}/00-a.conf`,
        "Match User tunnel-*\n    AllowStreamLocalForwarding yes\n",
      ],
      [
        "a Match by address",
        `${dropIns}/00-a.conf`,
        "Match Address 127.0.0.0/8\n    AllowStreamLocalForwarding yes\n",
      ],
    ];

    it.each(oneIn(2, matches, "matches"))(
      "up refuses %s that gives tunnel accounts more than our drop-in does, and rolls back",
      async (_what, file, text) => {
        await stack.destroy();
        await gate.run(`cat >${file}`, { input: text });
        const said = await failedUp(stack);
        expect(said).toContain(
          "sshd gives the tunnel accounts another value of allowstreamlocalforwarding than our drop-in",
        );
        expect(said).toContain(`in ${file}; the old configuration is back`);
        expect(await onGate(`ls ${dropIns}`)).toBe("00-a.conf");
        await gate.run(`rm ${file}`);
      },
    );

    sometimes.it("a mask that existed before the account is left alone", async () => {
      const [uid, link] = [789, "/etc/systemd/system/user@789.service"];
      const part = account({ account: "tunnel-x", group: "ssh-tunnel", home: "/", shell: "/bin/sh" });
      const masked = await openStack({
        project: "p",
        stack: "mask",
        program: () => Promise.resolve(void onePart("account", hostWithTools(lab, gate), part)),
        directory: `${lab.directory}/stacks/mask`,
      });
      await gate.run(`cp -a /etc/login.defs /root/kept && ln -s /dev/null ${link} &&
        printf 'SYS_UID_MIN ${uid}\nSYS_UID_MAX ${uid}\n' >>/etc/login.defs`);
      await masked.up();
      expect(await onGate("id -u tunnel-x")).toBe(String(uid));
      await masked.destroy();
      expect(await onGate(`readlink ${link}`)).toBe("/dev/null");
      await gate.run(`mv /root/kept /etc/login.defs && rm ${link} && systemctl daemon-reload`);
    });

    it("the host is left as it was", async () => {
      await stack.destroy();
      expect(await leftovers(gate, before.gate!)).toEqual([]);
    });
  });

  describe("with two stacks,", () => {
    const ports = { alpha: 2301, beta: 2302 };
    type Name = keyof typeof ports;
    const names = Object.keys(ports) as Name[];
    const stacks = {} as Record<Name, LabStack>;
    const bounds: Record<Name, object> = {
      alpha: { permitListen: ["127.0.0.1:2301"], permitOpen: ["127.0.0.1:2301"] },
      beta: { permitListen: ["127.0.0.1:2302", "127.0.0.1:2303"] },
    };
    const settings = (name: Name, onGate: object = {}, remotePort = ports[name]) =>
      tunnelSettings(lab, gate, nas, {
        tunnel: name,
        gate: { ...bounds[name], ...onGate },
        forwards: { ssh: { remotePort, target: 22 } },
      });

    beforeAll(async () => {
      for (const name of names) {
        stacks[name] = await openProgram(lab, { stack: name, config: settings(name) });
        await stacks[name].up();
      }
    });

    const works = (name: Name) =>
      until(`the tunnel ${name}`, 30, async () => {
        const { stdout } = await gate.run(`ssh -o ConnectTimeout=2 ${name} hostname`, { allowFailure: true });
        return stdout === "nas";
      });

    it("each stack's bound applies only to its own tunnels, whichever name comes first", async () => {
      // Each reconnects, with sshd's current configuration.
      await nas.run("systemctl restart ssh-tunnel-alpha ssh-tunnel-beta");
      for (const name of names) await works(name);
      for (const name of names) {
        const said = await onGate(`sshd -T -C user=tunnel-${name},host=h,addr=192.0.2.1 | grep ^permit[lo]`);
        expect(said.split("\n").sort()).toEqual(["permitlisten any", "permitopen any"]);
        const key = await onGate(`cat /etc/ssh/ssh-reverse-tunnel/tunnel-${name}.keys`);
        expect(key.match(/permit(listen|open)="[^"]*"/g)).toEqual([
          `permitlisten="127.0.0.1:${ports[name]}"`,
          `permitopen="127.0.0.1:${ports[name]}"`,
        ]);
      }
    });

    sometimes.it(
      "a forward outside its own stack's bound is refused, and one inside it is accepted",
      async () => {
        await stacks.beta.setConfig(settings("beta", {}, 2304));
        expect(await failedUp(stacks.beta)).toContain(
          'must listen where permitListen allows it: 127.0.0.1:2304 is not in ["127.0.0.1:2302","127.0.0.1:2303"]',
        );
        await stacks.beta.setConfig(settings("beta", {}, 2303));
        await stacks.beta.up();
        await works("beta");
        await works("alpha");
      },
    );

    it("combining the allowUsers of two stacks is refused before any change", async () => {
      await stacks.alpha.setConfig(settings("alpha", { allowUsers: ["root", "alice"] }));
      await stacks.alpha.up();
      expect([await login("alice"), await login("admin")]).toEqual(["alice", ""]);
      const before = await onGate(`cat ${dropIns}/*`);
      await stacks.beta.setConfig(settings("beta", { allowUsers: ["root", "admin"] }, 2303));
      expect(await failedUp(stacks.beta)).toContain(
        `another stack has allowUsers for this host, too, and other accounts in it: ${dropIns}/00-ssh-reverse-tunnel-alpha.conf allows alice root tunnel-*, and this one admin root tunnel-*.`,
      );
      expect(await onGate(`cat ${dropIns}/*`)).toBe(before);
      expect([await login("alice"), await login("admin")]).toEqual(["alice", ""]);
      await stacks.beta.setConfig(settings("beta", { allowUsers: ["alice", "root"] }, 2303));
      await stacks.beta.up();
      expect([await login("alice"), await login("admin")]).toEqual(["alice", ""]);
    });

    sometimes.it("nobody is admitted because an earlier version copied AllowUsers of the host", async () => {
      const copied = `${dropIns}/00-ssh-reverse-tunnel-beta.conf`;
      await stacks.beta.setConfig(settings("beta", {}, 2303));
      await stacks.beta.up();
      await gate.run(`sed -i '1i AllowUsers root admin tunnel-*' ${copied}`);
      await stacks.alpha.setConfig({ revision: "looks again" });
      expect(await failedUp(stacks.alpha)).toContain(`${copied} allows admin root tunnel-*, and this one`);
      await stacks.beta.setConfig({ revision: "looks again" });
      await stacks.beta.up();
      await stacks.alpha.up();
      expect([await login("alice"), await login("admin")]).toEqual(["alice", ""]);
    });

    describe("a tunnel's account", () => {
      const processes = () => onGate("pgrep -a -u tunnel-alpha || :");
      const sessions = /^(\d+ sshd(-session)?: tunnel-alpha(@notty)?\n?)+$/;
      const unit = async () => `user@${await onGate("id -u tunnel-alpha")}.service`;

      it("runs only sshd processes, and its logins report no errors", async () => {
        const since = await onGate("date +%s.%N");
        await nas.run("systemctl restart ssh-tunnel-alpha");
        await works("alpha");
        expect(await processes()).toMatch(sessions);
        expect(await onGate(`systemctl is-active ${await unit()} || :`)).toBe("inactive");
        const said = await onGate(`journalctl -q --since @${since} -p warning -o cat`);
        expect(said).not.toMatch(/pam_systemd|session scope|masked/);
        expect(await onGate("cat /proc/$(pgrep -o -u tunnel-alpha sshd)/cgroup")).toMatch(
          /session-\w+\.scope/,
        );
      });

      sometimes.it("loses the manager that an earlier version gave it, and keeps its session", async () => {
        await gate.run(`rm /etc/systemd/system/${await unit()} && systemctl daemon-reload`);
        const down = `! systemctl is-active --quiet ${await unit()} || systemctl stop ${await unit()}`;
        await gate.run(down);
        await nas.run("systemctl restart ssh-tunnel-alpha");
        await until("its manager", 20, async () => (await processes()).includes("systemd --user"));
        await works("alpha");
        const session = await onGate("pgrep -u tunnel-alpha sshd");
        await stacks.alpha.setConfig({ revision: "no manager" });
        expect((await stacks.alpha.up()).stdout).toContain(`masked ${await unit()}`);
        expect(await processes()).toMatch(sessions);
        expect(await onGate("pgrep -u tunnel-alpha sshd")).toBe(session);
        await stacks.alpha.setConfig({ revision: "again" });
        expect((await stacks.alpha.up()).stdout).not.toMatch(/\bchanged: /);
      });
    });

    it("destroy of both leaves nothing, no mask and no manager", async () => {
      await Promise.all(names.map((name) => stacks[name].destroy()));
      expect(
        await onGate("systemctl daemon-reload; systemctl list-unit-files --no-legend 'user@[0-9]*' || :"),
      ).toBe("");
      expect(await leftovers(gate, before.gate!)).toEqual([]);
      expect(await leftovers(nas, before.nas!)).toEqual([]);
    });
  });
});
