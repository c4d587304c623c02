import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { type Changes, tunnelSettings } from "../lab/support/settings.ts";

/** The tests are a story: each continues from the one before. */
describe("logins back", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  /** Somebody whose name comes from a directory such as LDAP. */
  const person = "First.Last";
  const own = "/etc/ssh/sshd_config.d/50-own.conf";
  const logins = [
    { from: "root", to: "root" },
    { from: person, to: person, alias: "files" },
  ];

  const configure = (changes: Changes) => stack.setConfig(tunnelSettings(lab, gate, nas, changes));

  /** What the command prints on the internal host. */
  const login = async (from: string, command: string) => {
    const ssh = `runuser -u ${from} -- timeout 20 ssh -o BatchMode=yes ${command} </dev/null`;
    return (await gate.run(ssh, { allowFailure: true })).stdout;
  };

  /** Breaks something on the internal host, and repairs it whatever the up says, which must fail. */
  const broken = async (breakIt: string, mendIt: string): Promise<string> => {
    await nas.run(breakIt);
    try {
      return await failedUp(stack);
    } finally {
      await nas.run(mendIt);
    }
  };

  /** An up with this configuration of the internal host's sshd for logins that come from the host itself. */
  const refusedBy = (text: string) =>
    broken(
      `printf 'Match Address 127.0.0.1\\n%s\\n' '${text}' >${own} && sshd -t && systemctl reload ssh`,
      `rm ${own} && systemctl reload ssh`,
    );

  beforeAll(async () => {
    lab = await Lab.up({ name: "logins", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    for (const host of [gate, nas]) await host.run(`useradd --badname -m -s /bin/bash ${person}`);
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas, { logins }) });
  });

  afterAll(() => Lab.clear("logins"));

  it.each([
    ["PermitRootLogin no", "PermitRootLogin is 'no'; set it to 'prohibit-password'"],
    [
      "PermitRootLogin forced-commands-only",
      "PermitRootLogin is 'forced-commands-only'; set it to 'prohibit-password'",
    ],
    [`AllowUsers root@198.18.*`, "AllowUsers leaves it out; add 'root@127.0.0.1'"],
    [`AllowUsers root`, `the login of '${person}'`],
    [`DenyUsers *@127.0.0.*`, "DenyUsers has it; take it out of that"],
    ["AllowGroups admin users", "AllowGroups leaves out all of its groups"],
    ["DenyGroups ro*", "DenyGroups has one of its groups"],
    ["PubkeyAuthentication no", "PubkeyAuthentication is 'no'; set it to 'yes'"],
    ["AuthenticationMethods password,publickey", "let 'publickey' come first"],
    ["PubkeyAcceptedAlgorithms -ssh-ed25519*", "PubkeyAcceptedAlgorithms leaves out 'ssh-ed25519'"],
    ["MaxSessions 0", "MaxSessions is '0'"],
  ])("are refused before anything changes if sshd says '%s' for them", async (text, why) => {
    const shown = await refusedBy(text);
    expect(shown).toContain(`error: nas (${nas.address}): `);
    expect(shown).toContain(why);
    expect(shown).toContain(own);
    const ours = "grep -rs ssh-reverse-tunnel: /root/.ssh; find /etc/systemd/system -name 'ssh-tunnel-nas*'";
    expect((await nas.run(ours, { allowFailure: true })).stdout).toBe("");
  });

  it("are refused if the account has this name for another host already", async () => {
    await gate.run(
      "mkdir -p -m 700 /root/.ssh && printf 'Host=other nas\\n User bob\\n' >/root/.ssh/more && printf 'Include more\\n' >/root/.ssh/config",
    );
    const shown = await failedUp(stack);
    expect(shown).toContain(`error: gate (${gate.address}): 'ssh nas' already has a meaning for 'root'`);
    expect((await gate.run("ssh -G nas | grep '^user '; cat /root/.ssh/config")).stdout).toBe(
      "user bob\nInclude more",
    );
    await gate.run("rm /root/.ssh/config /root/.ssh/more");
  });

  // Only sshd itself knows these.
  it.each([
    ["PAM refuses the account", `usermod --expiredate 1 ${person}`, `usermod --expiredate '' ${person}`],
    ["others may write into the home", `chmod o+w /home/${person}`, `chmod o-w /home/${person}`],
  ])("are an error if %s", async (_what, breakIt, mendIt) => {
    const shown = await broken(breakIt, mendIt);
    expect(shown).toContain(`error: gate (${gate.address}): 'ssh files' of '${person}' does not get in: `);
    expect(shown).toContain("'journalctl -u ssh -u sshd' on nas says why");
  });

  it("work, for accounts with dots and capitals too, and up runs none of their programs on the internal host", async () => {
    const files = `/root/.bashrc /home/${person}/.bashrc`;
    // The admin's own logins run them, too.
    const note = (what: string) => `case $SSH_CONNECTION in 127.*) echo ${what} >>/tmp/ran ;; esac`;
    await nas.run(
      `: >/tmp/ran && chmod 666 /tmp/ran && echo '${note("sshrc")}' >/etc/ssh/sshrc
        for file in ${files}; do cp -a $file $file.kept; sed -i '1i ${note("bashrc")}' $file; done
        usermod --shell /usr/sbin/nologin ${person}
        printf 'Match User ${person} Address 127.0.0.1\\n ForceCommand echo forced >>/tmp/ran\\n' >${own}
        systemctl reload ssh`,
    );
    const { diagnostics } = await stack.up();
    expect(diagnostics).toEqual([]);
    expect((await nas.run("cat /tmp/ran")).stdout).toBe("");
    await nas.run(
      `for file in ${files}; do mv $file.kept $file; done
        rm ${own} /etc/ssh/sshrc /tmp/ran; usermod --shell /bin/bash ${person}; systemctl reload ssh`,
    );
    expect(await login("root", "nas id -un")).toBe("root");
    expect(await login(person, "files id -un")).toBe(person);
  });

  const viaElsewhere = (target: string) => {
    const forwards = {
      elsewhere: { remotePort: 2223, target, protocol: "ssh" },
      ssh: { remotePort: 2222, target: 22 },
    };
    return { forwards, logins: [{ ...logins[0]!, via: "elsewhere" }] };
  };

  it("are refused if their forward leads to another machine", async () => {
    await configure(viaElsewhere(`${gate.address}:22`));
    expect(await failedUp(stack)).toContain(
      `error: nas (${nas.address}): the login to 'root' would end on another machine, since the target of its forward is ${gate.address}, which is not this host`,
    );
  });

  it("are an error if their forward leads to another sshd", async () => {
    await nas.run(
      "ssh-keygen -q -t ed25519 -N '' -f /root/other && systemd-run --quiet --unit other /usr/sbin/sshd -D -p 2022 -h /root/other",
    );
    await configure(viaElsewhere(`${nas.address}:2022`));
    expect(await failedUp(stack)).toContain(
      `error: gate (${gate.address}): 'ssh nas' of 'root' does not lead to nas, since the forward 'elsewhere' leads to another host key`,
    );
    await nas.run("systemctl stop other; rm /root/other /root/other.pub");
    await configure({ logins });
    await stack.up();
    expect(await login("root", "nas hostname")).toBe("nas");
  });

  it("work through a forward to the internal host by its name; what they need besides the key is a warning", async () => {
    const named = logins.map((each) => ({ ...each, via: "ssh" }));
    await configure({ forwards: { ssh: { remotePort: 2222, target: "nas.lan:22" } }, logins: named });
    expect(await failedUp(stack)).toContain(
      `error: nas (${nas.address}): there is no address of 'nas.lan', the target of the forward`,
    );
    await nas.run(
      `cp -a /etc/hosts /etc/hosts.kept && echo '${nas.address} nas.lan' >>/etc/hosts
        printf 'Match Address ${nas.address}\\n AuthenticationMethods publickey,password\\n' >${own} && systemctl reload ssh`,
    );
    expect((await stack.up()).diagnostics.join("\n")).toContain(
      "nas takes the key of 'ssh nas', and then wants more (AuthenticationMethods)",
    );
    await nas.run(`rm ${own} && systemctl reload ssh`);
    expect(await login("root", "nas hostname")).toBe("nas");
  });

  it("leave no trace on either host", async () => {
    await stack.destroy();
    await nas.run("mv /etc/hosts.kept /etc/hosts");
    for (const host of [gate, nas]) expect(await leftovers(host, before[host.name]!)).toEqual([]);
  });

  it("leave an account of the internal host that runs the tunnel its own logins", async () => {
    const config = "Host gate\n  HostName 192.0.2.1\n  User alice\n";
    await nas.run(
      "install -d -o alice -m 700 /home/alice/.ssh && cd /home/alice/.ssh && cat >config && chown alice config",
      { input: config },
    );
    const gateOfAlice = async () => (await nas.run("runuser -u alice -- ssh -G gate")).stdout;
    const hers = await gateOfAlice();
    expect(hers).toContain("hostname 192.0.2.1");
    await configure({ nas: { account: "alice" }, logins: [logins[0]!] });
    await stack.up();
    expect(await gateOfAlice()).toBe(hers);
    expect(await login("root", "nas hostname")).toBe("nas");
  });
});
