import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keyPair } from "../../components/parts/keyPair/keyPair.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, hostWithTools, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { onePart } from "../support/onePart.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { sometimes } from "./support/sample.ts";
import { until } from "./support/until.ts";

/**
 * Values that are as unusual as the settings allow, on unusual hosts: sshd, ssh and systemd interpret them exactly as
 * intended. And hosts that return something unexpected.
 */
describe("with hostile values on hostile hosts", () => {
  const account = "_odd-account-name-of-32-letters-";
  const home = `/srv/a home $(touch pwned) \`id\` 'q' "d" * #é\u2028 -x`;
  const comment = `Ödd "q" 'q' $(id) %n %h \\ #,,,`;
  const tunnel = "n--of-24-letters-in-all-";
  const forward = "f--------------of-31-letters---";
  const alias = "0.-_---of-63-letters".padEnd(63, "-");
  const revision = `1' "2" $(touch /pwned) \`touch /pwned\` %n \\ \n\r\tREVISION='x'\nHOST=x # \u2028\u0085é`;
  const ownDropIn = "/etc/ssh/sshd_config.d/50-own.conf";

  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;
  let effectiveBefore: string[];
  let clientBefore: string;

  const settings = (changes: object = {}) => ({
    publicHosts: {
      gate: {
        ...labAdmin(lab, gate),
        permitListen: ["127.0.0.1:*", "[::1]:2222"],
        permitOpen: ["127.0.0.1:*", "localhost:1"],
      },
    },
    internalHosts: {
      [tunnel]: {
        ...labAdmin(lab, nas),
        account,
        forwards: {
          [forward]: { remotePort: 2222, target: 22 },
          v6: { remotePort: "auto", target: "[::1]:22", protocol: "tcp" },
        },
        logins: [{ from: account, to: account, alias }],
        ...changes,
      },
    },
    revision,
  });

  const asAccount = (host: Host, command: string) =>
    host.run(
      `setpriv --reuid ${account} --regid ${account} --init-groups env HOME=${shellQuote(home)} ${command}`,
      {
        allowFailure: true,
      },
    );
  const effective = async (user: string) =>
    (await gate.run(`sshd -T -C user=${user},host=x,addr=192.0.2.1,laddr=192.0.2.2,lport=22`)).stdout.split(
      "\n",
    );
  const clientOptions = async (host: string) => (await asAccount(gate, `ssh -G ${host}`)).stdout;

  beforeAll(async () => {
    lab = await Lab.up({ name: "hostile", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    for (const host of [gate, nas]) {
      await host.run(
        `useradd --home-dir ${shellQuote(home)} --create-home --shell /bin/bash --comment ${shellQuote(comment)} -- ${account}`,
      );
    }
    // Everything that sshd treats as a separator, and a comment that is not ours.
    await gate.run(`cat >${ownDropIn}`, {
      input:
        '\tX11Forwarding\t=\tno\nBanner="/etc/issue net"\n  allowusers = root\tadmin alice "_odd*" tunnel-* # tunnel\n',
    });
    await gate.run("systemctl reload ssh");
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    effectiveBefore = await effective("root");
    clientBefore = await clientOptions("elsewhere");
    stack = await openProgram(lab, { config: settings() });
  });

  afterAll(() => Lab.clear("hostile"));

  it("up succeeds, and the login through the tunnel reaches the unusual account", async () => {
    await stack.up();
    expect(await asAccount(gate, `ssh ${alias} 'id -un; pwd'`)).toMatchObject({
      stdout: `${account}\n${home}`,
    });
    for (const host of [gate, nas]) {
      expect((await host.run("find / -xdev -name 'pwned*'")).stdout).toBe("");
    }
  });

  it("sshd's configuration changes only as intended, and only for the tunnel's account", async () => {
    expect(await effective("root")).toEqual(effectiveBefore);
    const now = await effective(`tunnel-${tunnel}`);
    expect(now.filter((line) => !effectiveBefore.includes(line)).sort()).toEqual([
      "allowagentforwarding no",
      "allowstreamlocalforwarding no",
      "allowusers :ssh-reverse-tunnel-dev",
      "authenticationmethods publickey",
      "authorizedkeysfile /etc/ssh/ssh-reverse-tunnel/%u.keys",
      "channeltimeout global=0 *=0",
      "clientaliveinterval 15",
      "gatewayports clientspecified",
      "permittty no",
      "permituserrc no",
    ]);
  });

  it("each key has the intended options, as sshd itself reads them", async () => {
    const options = (text: string) =>
      [...text.matchAll(/Remote: .*: key options: (.*)/g)].map(([, all]) => all?.trim());
    const back = await asAccount(gate, `ssh -v ${alias} true`);
    expect(new Set(options(back.stderr))).toEqual(new Set(["pty"]));
    const tunnelKey = await asAccount(
      nas,
      `ssh -v -o ClearAllForwardings=yes -S none ssh-tunnel-${tunnel} true`,
    );
    expect(new Set(options(tunnelKey.stderr))).toEqual(
      new Set(["command permitopen permitlisten port-forwarding"]),
    );
  });

  it("ssh's configuration has only the intended entry, and is unchanged for every other host", async () => {
    const entry = (await clientOptions(alias)).split("\n");
    expect(entry).toEqual(
      expect.arrayContaining([
        "hostname 127.0.0.1",
        "port 2222",
        `user ${account}`,
        `hostkeyalias ${alias}`,
        `identityfile ~/.ssh/ssh-reverse-tunnel/${alias}.key`,
        `userknownhostsfile ${home}/.ssh/ssh-reverse-tunnel/${alias}.known_hosts`,
      ]),
    );
    expect(await clientOptions("elsewhere")).toBe(clientBefore);
  });

  it("systemd runs the intended commands, and reports nothing about the units", async () => {
    const unit = `ssh-tunnel-${tunnel}`;
    const port = (
      await gate.run(`grep -o 'permitopen="127.0.0.1:2[0-9]*' /etc/ssh/ssh-reverse-tunnel/*.keys`)
    ).stdout
      .split(":")
      .pop();
    const { stdout } = await nas.run(`systemctl show -P ExecStart ${unit}`);
    expect(/argv\[\]=(.*?) ;/.exec(stdout)?.[1]).toBe(
      `/opt/ssh-reverse-tunnel/${unit}/bin/tunnel ${unit} 30 -R 127.0.0.1:2222:127.0.0.1:22 -R 127.0.0.1:${port}:[::1]:22`,
    );
    expect((await nas.run(`systemctl show -P User ${unit}`)).stdout).toBe(account);
    for (const host of [gate, nas]) {
      const verified = await host.run(
        "cd /etc/systemd/system && systemd-analyze verify --man=no ./ssh-tunnel*.service ./ssh-tunnel*.timer",
        { allowFailure: true },
      );
      // systemd itself limits a name to 31 characters, but accepts what getpwnam(3) knows.
      const known = `Accepting user/group name '${account}', which does not match strict user/group name rules.`;
      expect(verified.stderr.split("\n").filter((line) => line !== known && line !== "")).toEqual([]);
      expect(verified).toMatchObject({ stdout: "", exitCode: 0 });
    }
  });

  sometimes.it(
    "a changed revision of the same kind checks everything again and restarts nothing",
    async () => {
      const pid = async () => (await nas.run(`systemctl show -P MainPID ssh-tunnel-${tunnel}`)).stdout;
      await until("the tunnel", 20, async () => (await asAccount(gate, `ssh ${alias} true`)).exitCode === 0);
      const running = await pid();
      await stack.setConfig({ revision: `${revision}\n'; exit 1; '` });
      expect(Object.keys((await stack.up()).changes).sort()).toEqual(["same", "update"]);
      expect(await pid()).toBe(running);
    },
  );

  it("destroy leaves nothing, and the unusual things on the hosts are as before", async () => {
    await stack.destroy();
    expect(await leftovers(gate, before.gate!)).toEqual([]);
    expect(await leftovers(nas, before.nas!)).toEqual([]);
  });

  sometimes.it("a home from which ssh itself cannot read keys is refused with an error message", async () => {
    const refused = await openStack({
      project: "p",
      stack: "s",
      program: () =>
        Promise.resolve(
          void onePart("key", hostWithTools(lab, gate), keyPair({ account, file: "x.key", comment: "" })),
        ),
      directory: join(lab.directory, "stacks", "home"),
    });
    await gate.run(`usermod --home '/srv/100%' --move-home ${account}`);
    expect(await failedUp(refused)).toContain("ssh cannot read keys from /srv/100%/.ssh, since it takes");
    await gate.run(`usermod --home ${shellQuote(home)} --move-home ${account}`);
    await refused.destroy(); // of the tools of our scripts
    expect(await leftovers(gate, before.gate!)).toEqual([]);
  });

  sometimes.describe("a host that returns more than it should", () => {
    let stack: LabStack;

    beforeAll(async () => {
      stack = await openProgram(lab, { stack: "answers", config: settings() });
    });

    afterAll(() => stack.destroy());

    /** Puts a program of that name before the real one, which it can call as "$real". */
    const instead = async (host: Host, program: string, text: string, act: () => Promise<void>) => {
      await host.run(`cat >/usr/local/bin/${program} && chmod +x /usr/local/bin/${program}`, {
        input: `#!/bin/sh\nreal=/usr/bin/${program}\n${text}\n`,
      });
      try {
        await act();
      } finally {
        await host.run(`rm /usr/local/bin/${program}`);
      }
    };
    /** Succeeds while somebody is logged in as the admin, or anything that a login began is running. */
    const logins = "pgrep -f '^sshd(-session)?: root' || grep -qs SSH_CONNECTION= /proc/[0-9]*/environ";
    /**
     * Runs an up until this is printed. A program that runs inside this process cannot end it, as it would with Pulumi
     * itself.
     */
    const upUntil = async (sentence: RegExp) => {
      const controller = new AbortController();
      let said = "";
      let ended: unknown;
      const outcome = stack.automation
        .up({
          onEvent: ({ diagnosticEvent }) => (said += diagnosticEvent?.message ?? ""),
          signal: controller.signal,
          color: "never",
        })
        .catch((error: unknown) => error)
        .finally(() => (ended = true));
      try {
        await until("the sentence, or the end of the up", 60, () => ended || sentence.test(said));
      } finally {
        controller.abort();
        await outcome;
        // An engine that is ended before it has released its lock leaves that to the next run.
        await stack.automation.cancel();
        // A script that it began goes on without it, and the next test would find what that leaves.
        for (const host of [gate, nas]) {
          await until("the end of the engine's logins", 20, async () => {
            const found = await host.run(logins, { allowFailure: true });
            return found.exitCode !== 0;
          });
        }
      }
      expect(said).toMatch(sentence);
    };
    const keysOnGate = async () =>
      (await gate.run("cat /etc/ssh/ssh-reverse-tunnel/*.keys", { allowFailure: true })).stdout;
    const knownOnGate = async () =>
      (
        await gate.run(`cat ${shellQuote(home)}/.ssh/ssh-reverse-tunnel/*.known_hosts`, {
          allowFailure: true,
        })
      ).stdout;

    it("cannot add host keys for other names to the other host's known_hosts", async () => {
      await instead(nas, "cut", '"$real" "$@" && echo "@cert-authority * ssh-ed25519 AAAA"', () =>
        upUntil(/ answered '@cert-authority \* ssh-ed25519 AAAA' instead of a public host key/),
      );
      expect(await knownOnGate()).toBe("");
    });

    it("cannot choose the rights of its key in the other host's authorized_keys", async () => {
      // The earlier run may have stored the answer and created the key.
      await stack.setConfig({ revision: "asked for the key" });
      await nas.run("find / -xdev -path '*/.ssh/ssh-reverse-tunnel/*.key*' -delete");
      await nas.run("cp -a /root/.bashrc /run/bashrc && cat - /run/bashrc >/root/.bashrc", {
        input: `exec > >(sed -u 's/^key [^ ]* /&command="id",pty /')\n`,
      });
      try {
        await upUntil(/ answered 'key \S+ command="id",pty ssh-ed25519 .* instead of its public key/);
      } finally {
        await nas.run("cp -a /run/bashrc /root/.bashrc");
      }
      expect(await keysOnGate()).toBe("");
    });

    it("gets an error that says what to do if its admin's shell prints on the line of the answer", async () => {
      await stack.setConfig({ revision: "asked again" });
      await gate.run("cp -a /root/.bashrc /run/bashrc && sed -i '1i printf Welcome,' /root/.bashrc");
      try {
        // The keys of the logins, or the ports: both are asked for at once.
        await upUntil(
          /gate answered 'Welcome,(key|port) .* instead of (its public key|the port of the forward .*); if that comes from the admin's login shell, stop its start-up files from printing anything; then change the revision/,
        );
      } finally {
        await gate.run("cp -a /run/bashrc /root/.bashrc");
      }
      // The tunnel's own key, which nas answered, may be on gate by now. Nothing that gate answered is on nas.
      const { stdout } = await nas.run(`cat ${shellQuote(home)}/.ssh/authorized_keys`, {
        allowFailure: true,
      });
      expect([await knownOnGate(), stdout]).toEqual(["", ""]);
    });

    it("is checked again by an up with a changed revision, and may print greetings on separate lines", async () => {
      await gate.run("sed -i '1i echo Welcome to gate; echo' /root/.bashrc");
      // One that no earlier run has had, since each may have ended before it asked.
      await stack.setConfig({ revision: `${revision}, and again` });
      const again = await openProgram(lab, { stack: "answers" });
      await again.up();
      await gate.run("cp -a /run/bashrc /root/.bashrc");
      expect(await keysOnGate()).toMatch(/^restrict,port-forwarding,\S+ ssh-ed25519 \S+ \S+$/);
    });
  });
});
