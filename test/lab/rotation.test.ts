import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fingerprintOf } from "../../components/remote/fingerprint.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { Snapshot } from "../../lab/snapshot.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { leftovers } from "./support/leftovers.ts";
import { chosen, oneIn } from "./support/sample.ts";
import { type Part, tunnelSettings } from "./support/settings.ts";
import { until } from "./support/until.ts";

/**
 * New keys of a tunnel, of its logins and of its public host: the new one is used and tried before the old one is removed.
 * The tests are a story: each continues from the one before.
 */
describe("a tunnel whose keys are replaced", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: Record<string, Snapshot>;
  /** The word of the last up. */
  let word: string | undefined;
  let revision = 0;
  let internal: Part = {};
  let gateKey: string;

  const idOf = (text: string | undefined) => text && fingerprintOf(text).slice(0, 8);
  const nasKeys = "/var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel";
  const gateKeys = "/root/.ssh/ssh-reverse-tunnel";
  const lines = "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys";

  const configure = (keys: string | undefined = word, gateSettings: Part = {}) =>
    stack.setConfig({
      ...tunnelSettings(lab, gate, nas, {
        gate: { admin: { ...labAdmin(lab, gate).admin, hostKey: gateKey }, ...gateSettings },
        nas: { timeoutSec: 5, ...internal },
      }),
      keys,
      revision: String(revision),
    });
  const up = async (keys: string | undefined = word) => {
    await configure(keys);
    await stack.up();
    word = keys;
  };

  const text = async (host: Host, command: string) =>
    (await host.run(command, { allowFailure: true })).stdout;
  const login = () => text(gate, "ssh -o ConnectTimeout=2 nas echo through");
  const tunnelPid = () => text(nas, "systemctl show -P MainPID ssh-tunnel-nas");
  const loginWorks = () => until("a login back", 40, async () => (await login()) === "through", 300);
  const restart = async () => {
    await nas.run("systemctl restart ssh-tunnel-nas");
    await loginWorks();
  };
  const trials = () => text(nas, "ls -d /var/lib/*rollback");

  /** All that is left of keys on both hosts. */
  const keysThere = async () => ({
    tunnel: (await text(nas, `cd ${nasKeys} && ls *.key*`)).split("\n"),
    permitted: (await text(gate, `cat ${lines}`)).split("\n").map((line) => line.split("/").at(-1)),
    login: (await text(gate, `cd ${gateKeys} && ls *.key*`)).split("\n"),
    loggedIn: (await text(nas, "grep ssh-reverse-tunnel: /root/.ssh/authorized_keys"))
      .split("\n")
      .map((line) => line.split("/").at(-1)),
  });
  const onlyKeys = (keys: string | undefined) => {
    const [file, line] = keys === undefined ? ["", ""] : [`.${idOf(keys)}`, `~${idOf(keys)}`];
    return {
      tunnel: [`nas${file}.key`, `nas${file}.key.pub`],
      permitted: [`nas-on.gate${line}`],
      login: [`nas${file}.key`, `nas${file}.key.pub`],
      loggedIn: [`nas-on.gate-login-root.nas${line}`],
    };
  };

  /** A connection through the tunnel that is in use all the time. */
  const hold = async () => {
    await gate.run(
      "systemctl stop holder 2>/dev/null; systemctl reset-failed holder 2>/dev/null; systemd-run --quiet --unit holder sh -c 'exec ssh nas \"while :; do echo alive; sleep 0.1; done\" >/run/holder'",
    );
    await until("the connection", 20, async () => (await text(gate, "wc -l </run/holder")) !== "0");
  };
  const isHeld = async () => {
    const seen = Number(await text(gate, "wc -l </run/holder"));
    await until("more from the connection", 20, async () => {
      return Number(await text(gate, "wc -l </run/holder")) > seen;
    });
    expect(await text(gate, "systemctl is-active holder")).toBe("active");
  };

  beforeAll(async () => {
    lab = await Lab.up({ name: "rotation", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    gateKey = gate.hostKey;
    before = { gate: await gate.snapshot(), nas: await nas.snapshot() };
    stack = await openProgram(lab, { config: tunnelSettings(lab, gate, nas) });
    await up(undefined);
    await loginWorks();
  });

  afterAll(() => Lab.clear("rotation"));

  it("has new keys of the tunnel and its logins after one up, and nothing that goes through it is interrupted", async () => {
    expect(await keysThere()).toEqual(onlyKeys(undefined));
    await hold();
    const pid = await tunnelPid();
    await up("2026-Q3");
    expect(await keysThere()).toEqual(onlyKeys("2026-Q3"));
    expect(await tunnelPid()).toBe(pid);
    await isHeld();
    await up("2026-Q4");
    expect(await keysThere()).toEqual(onlyKeys("2026-Q4"));
    expect(await tunnelPid()).toBe(pid);
    await isHeld();
    expect(await trials()).toBe("");
    // A login of its own has proved the new key, and the next connection uses it.
    const print = await text(nas, `ssh-keygen -lf ${nasKeys}/nas.${idOf("2026-Q4")}.key.pub | cut -d' ' -f2`);
    const accepted = async () =>
      (await text(gate, "journalctl -q -o cat -u ssh")).split(
        `Accepted publickey for tunnel-nas from ${nas.address}`,
      );
    const proved = (await accepted()).filter((line) => line.includes(print)).length;
    // A slow login is tried again.
    expect(proved).toBeGreaterThan(0);
    await restart();
    expect((await accepted()).filter((line) => line.includes(print)).length).toBeGreaterThan(proved);
  });

  it("does not change in a second up with the same word", async () => {
    const { changes } = await stack.up();
    expect(Object.keys(changes)).toEqual(["same"]);
  });

  it("shows the age of its keys in its state and metrics", async () => {
    await nas.run("systemctl start ssh-tunnel-nas-watchdog");
    expect(await text(nas, "ssh-tunnel-status nas")).toMatch(/, key made \d+ s ago$/m);
    expect(await text(nas, "cat /run/ssh-tunnel-nas-watchdog/ssh-tunnel-nas.prom")).toMatch(
      /^ssh_tunnel_key_created_timestamp_seconds\{tunnel="nas",side="internal"\} \d{10}$/m,
    );
    expect(await text(gate, "ssh-tunnel-status nas")).toMatch(/^logins to nas: oldest key made \d+ s ago$/m);
  });

  it("keeps its old key if no login succeeds with the new one, and a revert leaves nothing of the new one", async () => {
    const pid = await tunnelPid();
    await gate.run(
      `nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; }'; nft add rule inet t c ip saddr ${nas.address} tcp dport 22 'tcp flags & (syn | ack) == syn' drop`,
    );
    await configure("2027-Q1");
    expect(await failedUp(stack)).toContain("no login to the public host succeeds with the tunnel's new key");
    await gate.run("nft delete table inet t");
    expect(await text(nas, `cat ${nasKeys}/nas.conf`)).toContain(`nas.${idOf(word)}.key`);
    expect(await tunnelPid()).toBe(pid);
    await restart();
    await up();
    expect(await keysThere()).toEqual(onlyKeys(word));
  });

  const points: [at: string, host: "gate" | "nas", is: (id: string) => string][] = [
    ["once the tunnel's new key is made", "nas", (id) => `[ -e ${nasKeys}/nas.${id}.key ]`],
    ["once the new key is admitted", "gate", (id) => `grep -q ~${id} ${lines}`],
    ["once the login's new key is made", "gate", (id) => `[ -e ${gateKeys}/nas.${id}.key ]`],
    ["once the login's new key is admitted", "nas", (id) => `grep -q ~${id} /root/.ssh/authorized_keys`],
    ["once the tunnel uses its new key", "nas", (id) => `grep -q nas.${id}.key ${nasKeys}/nas.conf`],
    ["once the login uses its new key", "gate", (id) => `grep -q nas.${id}.key ${gateKeys}/nas.conf`],
    ["once the tunnel's old key is no longer admitted", "gate", (id) => `! grep -qv ~${id} ${lines}`],
  ];
  const ways: [how: string, command: string][] = [
    ["killed", "pkill -KILL -f '[s]h -s -- apply'"],
    ["cut off", "pkill -KILL -f '[s]shd: root@notty'"],
  ];
  const cases = points.flatMap((point) => ways.map((way) => [way[0], point[0], point, way] as const));

  describe(`works with one of the two keys (${chosen})`, () => {
    it.each(oneIn(5, cases, "a rotation that is interrupted"))(
      "if the script is %s %s, and the next up completes the change",
      async (how, at, [, where, is], [, command]) => {
        const host = lab.host(where);
        let next = "";
        let hit = false;
        // Where the script has ended before it is found, another rotation is interrupted.
        for (let attempt = 1; !hit && attempt <= 5; attempt++) {
          next = `${how} ${at}, ${attempt}`;
          await configure(next);
          const watch = host.run(
            `timeout 100 sh -c 'until ${is(idOf(next)!)} 2>/dev/null; do sleep 0.005; done' && ${command}`,
            { allowFailure: true, timeoutSeconds: 110 },
          );
          await stack.up().catch(() => undefined);
          hit = (await watch).exitCode === 0;
        }
        expect(hit).toBe(true);
        await restart();
        await up(next);
        expect(await keysThere()).toEqual(onlyKeys(next));
        await restart();
      },
    );
  });

  it("gets new keys through the tunnel itself, whose connection stays", async () => {
    await nas.run(
      `nft add table inet nat; nft 'add chain inet nat in { type filter hook input priority 0; }'; nft add rule inet nat in iifname != lo ct state new drop`,
    );
    internal = { admin: { ...labAdmin(lab, nas).admin, throughTunnel: "ssh" } };
    await up();
    await hold();
    const pid = await tunnelPid();
    await up("through");
    expect(await keysThere()).toEqual(onlyKeys("through"));
    expect(await tunnelPid()).toBe(pid);
    await isHeld();
    await restart();
  });

  describe("and whose public host gets a new host key", () => {
    const file = "/etc/ssh/ssh_host_ed25519_key";
    const conf = "/etc/ssh/sshd_config.d/50-host-keys.conf";
    const pinned = async () =>
      (await text(nas, `cut -d' ' -f2- ${nasKeys}/nas.known_hosts`)).split("\n").filter(Boolean);
    const publicKey = async (path: string) => text(gate, `cut -d' ' -f1,2 ${path}.pub`);
    const reload = () => gate.run("sshd -t && systemctl restart ssh");

    it("accepts both as soon as the public host has both, and then only the new one, without a restart", async () => {
      await hold();
      const pid = await tunnelPid();
      const old = gateKey;
      await gate.run(
        `ssh-keygen -q -t ed25519 -N '' -f ${file}.next && printf 'HostKey %s\\n' ${file} ${file}.next >${conf}`,
      );
      await reload();
      revision += 1;
      await up();
      const next = await publicKey(`${file}.next`);
      expect(await pinned()).toEqual([old, next]);
      await gate.run(`printf 'HostKey %s\\n' ${file}.next >${conf}`);
      await reload();
      gateKey = next;
      revision += 1;
      await up();
      expect(await pinned()).toEqual([next]);
      expect(await tunnelPid()).toBe(pid);
      await isHeld();
      await restart();
    });

    it("keeps the old one as well if the new one cannot be proven", async () => {
      const pid = await tunnelPid();
      const old = gateKey;
      await gate.run(`printf 'HostKey %s\\n' ${file} >${conf}`);
      await reload();
      await gate.run(
        `nft add table inet t; nft 'add chain inet t c { type filter hook input priority 0; }'; nft add rule inet t c ip saddr ${nas.address} tcp dport 22 'tcp flags & (syn | ack) == syn' drop`,
      );
      gateKey = await publicKey(file);
      revision += 1;
      await configure();
      expect(await failedUp(stack)).toContain("no login to the public host succeeds");
      // The host itself takes the change back, so that this is not in the middle of a session through the tunnel.
      await expect
        .poll(async () => (await pinned()).sort(), { timeout: 80_000 })
        .toEqual([old, gateKey].sort());
      await gate.run("nft delete table inet t");
      expect(await tunnelPid()).toBe(pid);
      await restart();
      await up();
      expect(await pinned()).toEqual([gateKey]);
      await gate.run(`rm ${conf} ${file}.next ${file}.next.pub`);
      await reload();
      revision += 1;
      await up();
    });
  });

  it("leaves nothing behind after destroy", async () => {
    await gate.run("systemctl stop holder; rm -f /run/holder; systemctl reset-failed holder 2>/dev/null; :");
    await nas.run("nft delete table inet nat", { allowFailure: true });
    await stack.destroy();
    await expect.poll(() => leftovers(nas, before["nas"]!), { timeout: 120_000 }).toEqual([]);
    await expect.poll(() => leftovers(gate, before["gate"]!), { timeout: 120_000 }).toEqual([]);
  });
});
