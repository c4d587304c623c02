import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderSshdDropIn } from "../../components/render/sshdDropIn.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "../lab/support/failure.ts";
import { journal } from "../lab/support/journal.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { type Changes, tunnelSettings } from "../lab/support/settings.ts";
import { missingSuites } from "../lab/support/suites.ts";
import { until } from "../lab/support/until.ts";
import { badSshdLines, sshdKeywordOf } from "../support/sshdConfigKeywords.ts";

const LAB = "gatefaults";
const sshdFile = "/etc/ssh/sshd_config.d/60-admin.conf";

/** What administrators and distributions have made of a public host. A story. */
describe("on a public host that its administrator has changed,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;

  const configure = (changes: Changes = {}) => stack.setConfig(tunnelSettings(lab, gate, nas, changes));
  const login = async () =>
    (await gate.run("ssh -o BatchMode=yes -o ConnectTimeout=5 nas hostname", { allowFailure: true })).stdout;
  const works = () => until("the login back", 30, async () => (await login()) === "nas", 200);

  beforeAll(async () => {
    lab = await Lab.up({ name: LAB, hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await gate.run("groupadd --gid 4242 ssh-tunnel");
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
  });

  afterAll(() => Lab.clear(LAB));

  const keys = "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys";
  const writable = (path: string, mode: string, account: string, file: string) =>
    `: sshd takes no keys for '${account}' from ${file}, since somebody else may change ${path} (${mode}); let it belong to root or '${account}'`;

  it.each<[string, "gate" | "nas", string, string, string]>([
    [
      "a folder that nobody but root may enter",
      "gate",
      "chmod 700 /etc/ssh",
      "chmod 755 /etc/ssh",
      ": sshd reads the keys of 'tunnel-nas' as that account, which may not open /etc/ssh/ (root, mode 700); give it that permission and run 'pulumi up' again",
    ],
    [
      "a folder that a group may write",
      "gate",
      "chmod 775 /etc/ssh",
      "chmod 755 /etc/ssh",
      writable("/etc/ssh", "root, mode 775", "tunnel-nas", keys),
    ],
    [
      "a root folder that a group may write",
      "gate",
      "chmod 775 /",
      "chmod 755 /",
      writable("/", "root, mode 775", "tunnel-nas", keys),
    ],
    [
      "a home that everyone may write",
      "nas",
      "chmod 757 /home/alice",
      "chmod 755 /home/alice",
      writable("/home/alice", "alice, mode 757", "alice", "/home/alice/.ssh/authorized_keys"),
    ],
    [
      "a file of keys that a group with other members may write",
      "nas",
      "cd /home/alice/.ssh && chgrp users authorized_keys && chmod 664 authorized_keys",
      "cd /home/alice/.ssh && chgrp alice authorized_keys && chmod 600 authorized_keys",
      writable(
        "/home/alice/.ssh/authorized_keys",
        "alice, mode 664",
        "alice",
        "/home/alice/.ssh/authorized_keys",
      ),
    ],
  ])("up names %s, since sshd would take no keys there", async (_what, at, begin, end, sentence) => {
    await configure({ logins: [{ from: "root", to: "alice" }] });
    const host = { gate, nas }[at];
    await host.run(begin);
    try {
      expect(await failedUp(stack)).toContain(`error: ${at} (${host.address})${sentence}`);
    } finally {
      await host.run(end);
    }
  });

  it("up succeeds although others may write there, if sshd does not mind", async () => {
    await gate.run(`chmod 775 / && echo 'StrictModes no' >${sshdFile} && systemctl reload ssh`);
    // Debian's sshd lets the group of nobody else write.
    await nas.run("chmod 775 /home/alice && chmod 664 /home/alice/.ssh/authorized_keys");
    await stack.up();
    expect((await gate.run("ssh -o BatchMode=yes alice@nas hostname")).stdout).toBe("nas");
    await stack.destroy();
    await nas.run("chmod 755 /home/alice && chmod 600 /home/alice/.ssh/authorized_keys");
    await gate.run(`chmod 755 / && rm ${sshdFile} && systemctl reload ssh`);
  });

  it("up names the AddressFamily of sshd that keeps a forward from its address", async () => {
    await gate.run(`echo 'AddressFamily inet' >${sshdFile} && systemctl restart ssh`);
    await configure({ forwards: { ssh: { remotePort: 2222, target: 22, listen: "::1" } } });
    expect(await failedUp(stack)).toContain(
      `error: gate (${gate.address}): the forward 'ssh' cannot listen on ::1, since sshd here has 'AddressFamily inet'`,
    );
    await gate.run(`rm ${sshdFile} && systemctl restart ssh`);
  });

  it("up shows what PAM there said about the tunnel's account", async () => {
    await configure({ nas: { timeoutSec: 10 } });
    await gate.run(`cp -a /etc/pam.d/sshd /etc/security/access.conf /root
      echo 'account required pam_access.so' >>/etc/pam.d/sshd
      printf '+:root admin alice:ALL\\n-:ALL:ALL\\n' >>/etc/security/access.conf`);
    try {
      const said = await failedUp(stack);
      const note = `note: gate (${gate.address}): sshd said: `;
      expect(said).toContain(`${note}pam_access(sshd:account): access denied for user \`tunnel-nas' from `);
      expect(said).toContain(`${note}fatal: Access denied for user tunnel-nas by PAM account configuration`);
      expect(said.split(note).length).toBeLessThanOrEqual(2 * 6); // each line is in the output and in a diagnostic
    } finally {
      await gate.run(
        "cp -a /root/sshd /etc/pam.d/sshd && cp -a /root/access.conf /etc/security/access.conf && rm /root/sshd /root/access.conf",
      );
    }
    await stack.destroy();
  });

  it("up says that the tunnel has not tried to log in there, if it does not get that far", async () => {
    await configure({ gate: { sshPort: 2200 }, nas: { timeoutSec: 10 } });
    await gate.run("journalctl --sync && journalctl --rotate && journalctl --vacuum-size=1");
    expect(await failedUp(stack)).toContain(
      `note: gate (${gate.address}): sshd has said nothing about 'tunnel-nas' for 70s: the tunnel has not tried to log in`,
    );
    await stack.destroy();
  });

  it("up leaves a port of the tunnel to another program for IPv6 alone", async () => {
    await gate.run(
      `systemd-run --quiet --unit six python3 -c 'import socket; s = socket.create_server(("::", 2222), family=socket.AF_INET6); s.accept()'`,
    );
    await until(
      "the other program",
      20,
      async () => (await gate.run("ss -Hltn sport = :2222")).stdout !== "",
    );
    await configure();
    await stack.up();
    expect(await login()).toBe("nas");
    const listening = (await gate.run("ss -Hltn sport = :2222")).stdout;
    expect(listening).toContain("127.0.0.1:2222");
    expect(listening).toContain("[::]:2222");
  });

  describe("with the worst possible value of every keyword of sshd's,", () => {
    beforeAll(async () => {
      // Each where sshd takes it, in a Match that tunnel accounts meet or for all; what it does not know is left out.
      await gate.run(
        `: >/run/all && : >/run/match && while read -r line; do
          if printf 'Match User x\\n%s\\n' "$line" | sshd -t -f /dev/stdin 2>/dev/null; then echo "    $line" >>/run/match
          elif printf '%s\\n' "$line" | sshd -t -f /dev/stdin 2>/dev/null; then echo "$line" >>/run/all
          fi
        done
        { cat /run/all; echo 'Match User tunnel-*'; cat /run/match; } >${sshdFile}
        rm /run/all /run/match; sshd -t && systemctl reload ssh`,
        { input: `${badSshdLines(() => true).join("\n")}\n` },
      );
      await nas.run("systemctl restart ssh-tunnel-nas");
    });

    it("sshd has our value of each that we set", async () => {
      const bad = (await gate.run(`cat ${sshdFile}`)).stdout;
      const fixed = badSshdLines(({ what }) => what === "fixed");
      expect(fixed.filter((line) => !bad.includes(line))).toEqual([]);
      const dropIn = (await gate.run("cat /etc/ssh/sshd_config.d/00-ssh-reverse-tunnel-dev.conf")).stdout;
      const keywords = [...dropIn.matchAll(/^ {4}(\w+) (.*)$/gm)];
      expect(keywords.length).toBe(fixed.length);
      // sshd -T has a line for each account.
      const ours = keywords.flatMap(([, name, value]) =>
        (name === "AllowUsers" ? value!.split(" ") : [value]).map((each) => `${name!.toLowerCase()} ${each}`),
      );
      const { stdout } = await gate.run(`sshd -T -C user=tunnel-nas,host=x,addr=${nas.address}`);
      const effective = stdout.split("\n").map((line) => line.replace(/^\w+/, (name) => name.toLowerCase()));
      expect(ours.filter((line) => !effective.includes(line))).toEqual([]);
    });

    it("the tunnel comes up, and may end its earlier session", async () => {
      await works();
      const invocation = (await nas.run("systemctl show -P InvocationID ssh-tunnel-nas")).stdout;
      expect(await journal(nas, `_SYSTEMD_INVOCATION_ID=${invocation}`)).not.toMatch(/refused|failed/);
    });

    it("up changes nothing", async () => {
      await stack.setConfig({ revision: "2" });
      const { stdout } = await stack.up();
      expect(stdout).not.toMatch(/\bchanged: /);
      expect(stdout).not.toContain("ChannelTimeout");
    });
  });

  it("up warns of a ChannelTimeout for everybody, unless sshd lets our drop-in make an exception", async () => {
    await gate.run(`echo 'ChannelTimeout *=1h' >${sshdFile} && systemctl reload ssh`);
    await stack.setConfig({ revision: "3" });
    const { stdout } = await stack.up();
    const [, major, minor] = /OpenSSH_(\d+)\.(\d+)/.exec((await gate.run("ssh -V 2>&1")).stdout)!;
    const warns = Number(major) * 100 + Number(minor) < 1005;
    const warning = `ChannelTimeout says '*=1h' in ${sshdFile}`;
    expect(stdout.includes(warning)).toBe(warns);
  });

  it("destroy leaves the administrator's own group and everything else as it was", async () => {
    await gate.run(`systemctl stop six; rm ${sshdFile} && systemctl reload ssh`);
    await stack.destroy();
    expect((await gate.run("getent group ssh-tunnel")).stdout).toBe("ssh-tunnel:x:4242:");
    for (const host of [gate, nas]) expect(await leftovers(host, before[host.name]!)).toEqual([]);
  });
});

describe("sshd of each release", () => {
  const suites = ["bookworm", "trixie", "sid"] as const;
  let lab: Lab;
  let missing: Awaited<ReturnType<typeof missingSuites>>;

  beforeAll(async () => {
    missing = await missingSuites(suites);
    const there = suites.filter((suite) => !missing.has(suite));
    if (there.length === 0) return;
    lab = await Lab.up({ name: "sshdwords", hosts: there.map((suite) => ({ name: suite, suite })) });
  }, 1_200_000); // the first time, this builds images

  afterAll(() => Lab.clear("sshdwords"));

  it.for(suites)("has no keyword that is not in the table of keywords: %s", async (suite, { skip }) => {
    skip(missing.has(suite), missing.get(suite));
    const host = lab.host(suite);
    const known = (await host.run("sshd -T | cut -d' ' -f1 | sort -u")).stdout.split("\n");
    const page = await host.run("base64 -w0 /usr/share/man/man5/sshd_config.5.gz", { allowFailure: true });
    const text = page.stdout === "" ? "" : gunzipSync(Buffer.from(page.stdout, "base64")).toString("utf8");
    const described = [...text.matchAll(/^\.It Cm ([A-Z]\w+)$/gm)].map(([, name]) => name!);
    expect(known.length).toBeGreaterThan(50);
    expect([...known, ...described].filter((name) => sshdKeywordOf(name) === undefined)).toEqual([]);
  });

  it.for(suites)(
    "lets a connection through a tunnel be idle for longer than others, from OpenSSH 10.5 on: %s",
    async (suite, { skip }) => {
      skip(missing.has(suite), missing.get(suite));
      const host = lab.host(suite);
      await host.run(
        `set -e
        useradd --password '*' tunnel-x
        ssh-keygen -q -t ed25519 -N '' -f /root/key
        install -D -m 644 /root/key.pub /etc/ssh/ssh-reverse-tunnel/tunnel-x.keys
        install -m 600 -o alice -g alice /root/key.pub /home/alice/.ssh/authorized_keys
        cat >/etc/ssh/sshd_config.d/00-ours.conf
        echo 'ChannelTimeout *=2' >/etc/ssh/sshd_config.d/60-admin.conf
        sshd -t && systemctl reload ssh
        systemd-run --quiet --unit silent python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 9000)); all = [s.accept() for _ in iter(int, 1)]'
        forward() { systemd-run --quiet --unit "$1" ssh -i /root/key -o StrictHostKeyChecking=no -N -R "127.0.0.1:$2:127.0.0.1:9000" "$1@127.0.0.1"; }
        forward tunnel-x 2301
        forward alice 2302`,
        { input: renderSshdDropIn({ owner: "p-s", clientAliveIntervalSec: 15, clientAliveCountMax: 3 }) },
      );
      const shows = (command: string, text: RegExp) =>
        until(
          command,
          30,
          async () => text.test((await host.run(command, { allowFailure: true })).stdout),
          100,
        );
      for (const port of [2301, 2302]) await shows(`ss -Hltn sport = :${port}`, /./);
      for (const [unit, port] of [
        ["through-tunnel", 2301],
        ["through-other", 2302],
      ] as const) {
        await host.run(
          `systemd-run --quiet --unit ${unit} python3 -c 'import socket; s = socket.create_connection(("127.0.0.1", ${port})); open("/run/${unit}", "w"); s.recv(1)'`,
        );
        await shows(`ls /run/${unit}`, /./);
      }
      await shows("systemctl is-active through-other", /^(inactive|failed)$/);
      const [, major, minor] = /OpenSSH_(\d+)\.(\d+)/.exec((await host.run("ssh -V 2>&1")).stdout)!;
      if (Number(major) * 100 + Number(minor) < 1005) {
        await shows("systemctl is-active through-tunnel", /^(inactive|failed)$/);
      } else {
        expect((await host.run("systemctl is-active through-tunnel")).stdout).toBe("active");
      }
    },
  );
});
