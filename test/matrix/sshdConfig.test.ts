import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { HostTools } from "../../components/parts/hostTools/hostTools.ts";
import { SshServer } from "../../components/parts/sshServer/sshServer.ts";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labHost } from "../../lab/program.ts";
import { type LabStack, openStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";

/** Hosts whose sshd does not do what its usual files say. What sshd itself answers, and what runs, is what counts. */
describe("sshd's configuration on a public host", () => {
  let lab: Lab;
  let gate: Host;
  let stack: LabStack;
  /** The port that the admin arrives at. */
  let port: number | undefined;
  let revision = 0;
  let before: string;

  const MAIN = "/etc/ssh/sshd_config";
  const FOLDER = "/etc/ssh/sshd_config.d";
  const LINE = `Include ${FOLDER}/00-p-s.conf`;
  const runner = () => gate.address.replace(/\d+$/, "1");
  const onGate = async (command: string) => (await gate.run(command)).stdout;
  const files = () =>
    onGate("find /etc/ssh /usr/ssh -exec stat -c '%n %A %U' {} + -type f -exec sha256sum {} + 2>&1 | sort");
  const loaded = "systemctl reset-failed ssh; systemctl restart ssh";

  /** Makes the host what a test needs; the tests compare with that. */
  const prepare = async (command: string) => {
    await gate.run(command);
    await gate.run(loaded);
    before = await files();
  };

  const effective = async (user: string, address = "192.0.2.9", sshd = "sshd") =>
    (await onGate(`${sshd} -T -C user=${user},host=x,addr=${address} | sort`)).split("\n");

  const admitsTunnels = async (sshd?: string) => {
    for (const address of ["192.0.2.9", "127.0.0.1", "10.0.0.1", "2001:db8::1"]) {
      expect(await effective("tunnel-x", address, sshd), address).toEqual(
        expect.arrayContaining([
          "authorizedkeysfile /etc/ssh/ssh-reverse-tunnel/%u.keys",
          "allowusers tunnel-*",
          "permittty no",
        ]),
      );
    }
  };

  beforeAll(async () => {
    lab = await Lab.up({ name: "sshdconfig", hosts: ["gate"] });
    gate = lab.host("gate");
    await gate.run("cp -a /etc/ssh /root/ssh && cp -a /etc/default/ssh /root/default");
    const host = () => {
      const known = labHost(lab, gate);
      const there = { ...known, connection: { ...known.connection, port } };
      return { ...there, revision: String(revision++), after: [new HostTools("tools", { host: there })] };
    };
    stack = await openStack({
      project: "p",
      stack: "s",
      program: () => Promise.resolve(void new SshServer("server", { host: host() })),
      directory: `${lab.directory}/stacks/s`,
    });
  });

  afterAll(() => Lab.clear("sshdconfig"));

  afterEach(async () => {
    await stack.destroy();
    const after = await files();
    port = undefined;
    await gate.run(`rm -rf /etc/ssh /usr/ssh /etc/systemd/system/ssh.service.d /usr/local/sbin/sshd
      cp -a /root/ssh /etc/ssh && cp -a /root/default /etc/default/ssh && systemctl daemon-reload; ${loaded}`);
    expect(after).toBe(before);
  });

  it.each([
    ["in a file whose name has a space", "60 my own.conf", "AllowUsers root admin"],
    ["in quotes, with a comment behind", "60.conf", '"AllowUsers" = "root" admin # nobody else'],
    ["with hosts and networks", "60.conf", "AllowUsers root@198.18.0.0/15,!198.18.0.99 *min"],
    ["in a Match block", "60.conf", "Match Address 198.18.0.0/15,192.0.2.0/24\n    AllowUsers root admin"],
  ])("gets tunnels admitted, and nobody else, where AllowUsers are %s", async (_what, name, text) => {
    await prepare(`printf '%s\\n' ${shellQuote(text)} >${shellQuote(`${FOLDER}/${name}`)}`);
    const others = async () => Promise.all(["root", "admin", "alice"].map((user) => effective(user)));
    const as = await others();
    expect((await stack.up()).diagnostics).toEqual([]);
    expect(await others()).toEqual(as);
    await admitsTunnels();
  });

  it.each([
    [
      "below a Match",
      "Match Group sftponly\n    ForceCommand internal-sftp\nInclude /etc/ssh/sshd_config.d/*.conf",
      true,
    ],
    [
      "below a Match for some addresses",
      "Match Address 127.0.0.0/8\nInclude /etc/ssh/sshd_config.d/*.conf",
      true,
    ],
    ["of files with another ending", "Include /etc/ssh/sshd_config.d/*.cfg", true],
    ["of another folder of that name", "Include /opt/x/sshd_config.d/*.conf", true],
    ["of files with other names", "Include /etc/ssh/sshd_config.d/[1-9]*.conf", true],
    ["with a pattern of its own", "Include /etc/ssh/*.d/0?-*", false],
    ["relative and in quotes", 'include = "sshd_config.d/*.conf"', false],
    ["by way of another file", "Include /etc/ssh/all.conf", false],
  ])("gets our Include if sshd does not read our drop-in: an Include %s", async (_what, include, added) => {
    await prepare(`cd /etc/ssh && echo 'Include sshd_config.d/*.conf' >all.conf && sed -i '/^Include/d' ${MAIN} &&
      printf '%s\\n' ${shellQuote(include)} >>${MAIN} && sshd -t`);
    expect((await stack.up()).diagnostics).toEqual([]);
    await admitsTunnels();
    expect((await onGate(`head -n 1 ${MAIN}`)) === LINE).toBe(added);
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
  });

  it("is refused in one sentence where somebody has moved our Include below a Match", async () => {
    await prepare(`sed -i '/^Include/d' ${MAIN}`);
    await stack.up();
    await gate.run(`sed -i '\\|^${LINE}|d' ${MAIN} && printf 'Match User bob\\n${LINE}\\n' >>${MAIN}`);
    expect(await failedUp(stack)).toContain(
      `sshd does not read our drop-in for all tunnel accounts, although ${MAIN} includes it; move its line '${LINE}' to the top, above every Match; the old configuration is back`,
    );
    await gate.run(`sed -i '/^Match User bob/d' ${MAIN}`);
    expect((await stack.up()).diagnostics).toEqual([]);
  });

  it("keeps idle tunnels where a Match before ours has an UnusedConnectionTimeout", async () => {
    await prepare(
      `printf 'Match User tunnel-*\\n  UnusedConnectionTimeout 30s\\n  ChannelTimeout session:*=10m\\n' >${FOLDER}/00-a.conf`,
    );
    expect((await stack.up()).diagnostics).toEqual([]);
    expect(await effective("tunnel-x")).toContain("unusedconnectiontimeout none");
  });

  it("makes nothing of another stack's drop-in active, or inactive, where each has its own Include", async () => {
    await prepare(`sed -i '/^Include/d' ${MAIN}`);
    const other = await openStack({
      project: "p",
      stack: "other",
      program: () => {
        const host = labHost(lab, gate);
        const after = [new HostTools("tools", { host })];
        return Promise.resolve(void new SshServer("server", { host: { ...host, after } }));
      },
      directory: `${lab.directory}/stacks/other`,
    });
    await other.up();
    await stack.up();
    await other.destroy();
    await admitsTunnels();
  });

  describe("with what the running sshd was started with:", () => {
    it("the port of its command line is the one that the admin arrives at", async () => {
      await prepare(`echo 'SSHD_OPTS="-p 2222"' >/etc/default/ssh`);
      port = 2222;
      expect((await stack.up()).diagnostics).toEqual([]);
      await admitsTunnels();
    });

    it("a port of its command line is not enough if a reload takes it away", async () => {
      await prepare(`echo 'SSHD_OPTS="-p 2222"' >/etc/default/ssh`);
      port = 2222;
      await gate.run(`echo 'ListenAddress 0.0.0.0:22' >${FOLDER}/50-own.conf`);
      before = await files();
      expect(await failedUp(stack)).toContain(
        "would lock out the admin 'root', who arrives at port 2222, at the next reload",
      );
    });

    it("the file of its command line gets the Include, and the usual one stays as it is", async () => {
      await prepare(
        `cd /etc/ssh && sed '/^Include/d' ${MAIN} >other && echo "SSHD_OPTS='-f /etc/ssh/other'" >/etc/default/ssh`,
      );
      await stack.up();
      expect(await onGate(`head -n 1 /etc/ssh/other; grep -c 00-p-s ${MAIN} || :`)).toBe(`${LINE}\n0`);
      await admitsTunnels("sshd -f /etc/ssh/other");
    });

    it("another sshd, by which the admin comes, is not its concern", async () => {
      await prepare(`sed 's/^Include.*/Port 2022/' ${MAIN} >/etc/ssh/management
        printf 'PermitRootLogin no\\nDenyUsers root\\nPort 22\\n' >${FOLDER}/50-own.conf`);
      await gate.run("systemd-run --quiet --unit management /usr/sbin/sshd -D -f /etc/ssh/management");
      port = 2022;
      expect((await stack.up()).diagnostics).toEqual([]);
      await admitsTunnels();
      expect(await effective("root")).toEqual(
        expect.arrayContaining(["denyusers root", "permitrootlogin no"]),
      );
      // Not later: the admin comes by it.
      await stack.destroy();
      await gate.run("systemctl stop management");
    });
  });

  describe("keeps the admin, as sshd reads its lists:", () => {
    it.each([
      ["DenyUsers root@203.0.113.66 *@198.51.100.* tunnel-*@203.0.113.0/24"],
      ["AllowUsers root@198.18.0.0/15,!198.18.99.0/24"],
      ["AllowUsers *@!203.0.113.0/24,*"],
      ["AllowUsers ?oot\nDenyUsers [r]oot"],
      ["AllowGroups r?ot ssh-tunnel\nDenyGroups [r]oot"],
    ])("%s is not a lock-out", async (text) => {
      await prepare(`printf '%s\\n' ${shellQuote(text)} >${FOLDER}/60.conf`);
      const { exitCode } = await exec("ssh", ["-F", lab.sshConfigFile, "gate", "true"], {
        allowFailure: true,
      });
      expect(exitCode).toBe(0);
      expect((await stack.up()).diagnostics).toEqual([]);
    });

    it.each([
      ["DenyUsers root@RUNNER", "DenyUsers would lock out the admin 'root'"],
      ["DenyUsers *@198.18.0.0/15", "DenyUsers would lock out the admin 'root'"],
      ["AllowUsers root@203.0.113.0/24", "AllowUsers would lock out the admin 'root'"],
      ["AllowUsers root@198.18.0.0/15,!RUNNER", "AllowUsers would lock out the admin 'root'"],
      ["AllowUsers [r]oot", "AllowUsers would lock out the admin 'root'"],
      ["DenyUsers tunnel-*@*", "sshd's DenyUsers keeps the tunnel accounts out"],
    ])("%s, not loaded yet, is refused", async (text, sentence) => {
      const own = `${FOLDER}/60.conf`;
      await gate.run(`printf '%s\\n' ${shellQuote(text.replace("RUNNER", runner()))} >${own}`);
      before = await files();
      const said = await failedUp(stack);
      expect(said).toContain(sentence);
      expect(said).toContain(own);
    });
  });

  describe("where the distribution's own file is in effect as long as there is no other, as on openSUSE,", () => {
    // Debian's sshd knows no such place, so this one has another path in it, of the same length.
    const VENDOR = "/usr/ssh/sshd_config";
    const given = async (command: string) => {
      await prepare(`mkdir -p /usr/ssh && mv ${MAIN} ${VENDOR} && ${command}
        LC_ALL=C sed 's|${MAIN}|${VENDOR}|' /usr/sbin/sshd >/usr/local/sbin/sshd && chmod 755 /usr/local/sbin/sshd
        mkdir -p /etc/systemd/system/ssh.service.d && cd /etc/systemd/system/ssh.service.d
        printf '[Service]\\nExecStartPre=\\nExecStart=\\nExecStart=/usr/local/sbin/sshd -D\\n' >suse.conf
        printf 'ExecReload=\\nExecReload=/usr/local/sbin/sshd -t\\nExecReload=/bin/kill -HUP $MAINPID\\n' >>suse.conf
        systemctl daemon-reload`);
      await gate.run("test $(readlink /proc/$(systemctl show -P MainPID ssh)/exe) = /usr/local/sbin/sshd");
    };

    it("no file is made that would replace it, and the drop-in is read", async () => {
      await given("true");
      const as = await effective("root");
      expect(as).toContain("usepam yes");
      expect((await stack.up()).diagnostics).toEqual([]);
      await admitsTunnels();
      expect(await effective("root")).toEqual(as);
      expect(await onGate("ls /etc/ssh | grep -x sshd_config || :")).toBe("");
      expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
    });

    it("a drop-in that it does not include is refused, and no file is made either", async () => {
      await given(`sed -i '/^Include/d' ${VENDOR}`);
      expect(await failedUp(stack)).toContain(
        `sshd does not read our drop-in: there is no ${MAIN}, and the file that sshd reads instead does not include ${FOLDER}/00-p-s.conf; make one that includes both`,
      );
      expect(await files()).toBe(before);
    });
  });
});
