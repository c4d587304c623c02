import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { badConfiguration, keywordOf, keywords, STRANGER } from "../support/sshConfigKeywords.ts";
import { tunnelSettings } from "./support/settings.ts";
import { missingSuites } from "./support/suites.ts";
import { until } from "./support/until.ts";

/** The administrator's ssh configuration for all hosts. The tests are a story: each continues from the one before. */
describe("if both hosts have the worst possible ssh configuration for all hosts,", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;

  const badFile = "/etc/ssh/ssh_config.d/00-bad.conf";
  /** For the host at one end: what its administrator decides there, such as the way out, stays as it is. */
  const bad = (end: "tunnels" | "logins back") =>
    badConfiguration(
      (name, { what }) =>
        what === "harmless" ||
        what === "fixed" ||
        what === `fixed for ${end}` ||
        (what === "left" && !["Compression", "IPQoS"].includes(name)),
    );

  beforeAll(async () => {
    lab = await Lab.up({ name: "loginconfig", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    for (const [host, end] of [
      [nas, "tunnels"],
      [gate, "logins back"],
    ] as const) {
      // Every account may read that key; the configuration would accept it from the other host.
      await host.run(
        `ssh-keygen -q -t ed25519 -N '' -f ${STRANGER} && chmod 644 ${STRANGER} &&
          sed 's/^/stranger /' ${STRANGER}.pub >${STRANGER}.known_hosts && : >/tmp/ran && chmod 666 /tmp/ran &&
          cat >${badFile} &&
          # Where its ssh is older than a keyword, no administrator has it there: nobody could use ssh.
          ssh -G x 2>&1 >/dev/null | sed -n 's/.*Bad configuration option: //p' | tr -d '\\r' | while read -r word; do
            sed -i "/^ *$word /Id" ${badFile}
          done && ssh -G x >/dev/null`,
        { input: bad(end) },
      );
    }
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
    await stack.up();
  });

  afterAll(() => Lab.clear("loginconfig"));

  const login = (command = "hostname") =>
    gate.run(`timeout 30 ssh -o BatchMode=yes ${command.startsWith("-") ? command : `nas ${command}`}`, {
      allowFailure: true,
    });

  it("the tunnel comes up at once, and the login back runs what was typed", async () => {
    await until("the login", 20, async () => (await login()).stdout === "nas");
    expect((await nas.run("systemctl show -P NRestarts ssh-tunnel-nas")).stdout).toBe("0");
    expect((await gate.run("echo piped | ssh nas cat")).stdout).toBe("piped");
  });

  it("nothing from that configuration has run, and nothing listens because of it", async () => {
    for (const host of [gate, nas]) {
      expect((await host.run("cat /tmp/ran; ls /tmp/control* 2>/dev/null; true")).stdout).toBe("");
    }
    expect((await nas.run("ss -Hltn 'sport = :1080 or sport = :23'")).stdout).toBe("");
    expect((await gate.run("cat ~/.ssh/ssh-reverse-tunnel/nas.known_hosts")).stdout).not.toContain(
      "127.0.0.1",
    );
  });

  it("ssh uses our entries for both logins", async () => {
    const seen = async (host: Host, as: string, name: string, end: string) => {
      const { stdout } = await host.run(`${as} ssh -G ${name} 2>/dev/null`);
      const alone = await host.run(
        `${as} sh -c 'cat ~/.ssh/ssh-reverse-tunnel/nas.conf >/tmp/alone; exec ssh -G -F /tmp/alone ${name}' 2>/dev/null; rm /tmp/alone`,
      );
      const fixed = Object.entries(keywords)
        .filter(([, { what }]) => what === "fixed" || what === `fixed for ${end}`)
        .map(([keyword]) => keyword.toLowerCase());
      const of = (text: string) => text.split("\n").filter((line) => fixed.includes(line.split(" ")[0]!));
      expect(of(stdout)).toEqual(of(alone.stdout));
      expect(of(stdout).length).toBeGreaterThan(20);
    };
    await seen(nas, "runuser -u tunnel-nas -- env HOME=/var/lib/tunnel-nas", "ssh-tunnel-nas", "tunnels");
    await seen(gate, "env", "nas", "logins back");
  });

  it("ssh still reads its configuration for a host that is not ours", async () => {
    for (const [host, as] of [
      [nas, "runuser -u tunnel-nas -- env HOME=/var/lib/tunnel-nas"],
      [gate, "env"],
    ] as const) {
      const { stdout } = await host.run(`${as} ssh -G other`);
      expect(stdout.split("\n")).toContain("host other");
      expect(stdout).not.toContain("ssh-reverse-tunnel");
    }
  });

  const hostKey = "/etc/ssh/ssh_host_ed25519_key";

  /** Gives a host the key that the other's configuration vouches for, under any name. */
  const swapKey = async (host: Host, other: Host) =>
    host.run(`cp -p ${hostKey} /root/key && cat >${hostKey} && systemctl restart ssh`, {
      input: `${(await other.run(`cat ${STRANGER}`)).stdout}\n`,
    });
  const giveBack = (host: Host) => host.run(`mv /root/key ${hostKey} && systemctl restart ssh`);

  it("a login back to a host with another key is refused, although the configuration accepts it", async () => {
    await swapKey(nas, gate);
    const refused = await login();
    expect(refused.stdout).toBe("");
    expect(refused.stderr).toContain("Host key verification failed");
    // The configuration's own rules for host keys would accept it.
    const trusting = badConfiguration((name) => /KnownHosts|^(NoHost|StrictHost)/.test(name));
    await gate.run("cat >/root/trusting", { input: trusting });
    const taken = await login(
      "-F /root/trusting -i /root/.ssh/ssh-reverse-tunnel/nas.key -p 2222 root@127.0.0.1 hostname",
    );
    expect(taken.stdout).toBe("nas");
    await giveBack(nas);
    expect((await login()).stdout).toBe("nas");
  });

  it("a tunnel to a public host with another key does not connect", async () => {
    await nas.run(": >/tmp/ran");
    await swapKey(gate, nas);
    await nas.run("systemctl restart ssh-tunnel-nas");
    const said = () => nas.run("journalctl -q -o cat -u ssh-tunnel-nas");
    await until("the refusal", 20, async () =>
      (await said()).stdout.includes("Host key verification failed"),
    );
    expect((await nas.run("cat /tmp/ran")).stdout).toBe("");
    await giveBack(gate);
    await nas.run("systemctl restart ssh-tunnel-nas");
    await until("the login", 20, async () => (await login()).stdout === "nas");
  });
});

describe("the table of what an administrator may set for all hosts", () => {
  afterAll(() => Lab.clear("loginwords"));

  it("has every keyword of the newest ssh and of earlier versions", async ({ skip }) => {
    const suites = ["bookworm", "trixie", "sid"] as const;
    const missing = await missingSuites(suites);
    const there = suites.filter((suite) => !missing.has(suite));
    skip(there.length === 0, [...missing.values()].join("\n"));
    const lab = await Lab.up({ name: "loginwords", hosts: there.map((suite) => ({ name: suite, suite })) });
    for (const suite of there) {
      const host = lab.host(suite);
      const known = (await host.run("ssh -G -F /dev/null x 2>/dev/null | cut -d' ' -f1")).stdout.split("\n");
      const page = await host.run("base64 -w0 /usr/share/man/man5/ssh_config.5.gz", { allowFailure: true });
      const text = page.stdout === "" ? "" : gunzipSync(Buffer.from(page.stdout, "base64")).toString("utf8");
      const described = [...text.matchAll(/^\.It Cm ([A-Z]\w+)$/gm)].map(([, name]) => name!);
      expect(known.length, suite).toBeGreaterThan(50);
      expect([suite, [...known, ...described].filter((name) => keywordOf(name) === undefined)]).toEqual([
        suite,
        [],
      ]);
    }
  }, 600_000);
});
