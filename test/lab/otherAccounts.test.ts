import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { shellQuote } from "../../components/remote/shellQuote.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { until } from "./support/until.ts";

const metrics = "/srv/metrics";
const lockFile = "/run/ssh-reverse-tunnel.lock";

/** A tunnel that runs as somebody's existing account, to a hostile public host. The tests are a story. */
describe("another user", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  /** The output of scripts while they run. */
  const said: string[] = [];

  const settings = (revision = "1") => ({
    publicHosts: { gate: labAdmin(lab, gate) },
    internalHosts: {
      nas: {
        ...labAdmin(lab, nas),
        account: "alice",
        textfileDirectory: metrics,
        watchdogIntervalSec: 86_400,
        forwards: { ssh: { remotePort: 2222, target: 22 } },
      },
    },
    revision,
  });
  const asAlice = (command: string) =>
    nas.run(`runuser -u alice -- sh -c ${shellQuote(command)}`, { allowFailure: true });
  const look = () => nas.run("systemctl start ssh-tunnel-nas-watchdog");
  const comesUp = () =>
    until("the tunnel to come up", 60, async () => {
      await look();
      return (await nas.run("ssh-tunnel-status", { allowFailure: true })).exitCode === 0;
    });

  beforeAll(async () => {
    lab = await Lab.up({ name: "lock-others", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    for (const host of [gate, nas]) {
      await host.run(
        "systemd-run --quiet --unit hold-etc --uid alice flock /etc sleep infinity && until systemctl is-active hold-etc; do sleep 0.1; done",
      );
    }
    stack = await openProgram(lab, {
      config: settings(),
      onEvent: ({ diagnosticEvent }) => said.push(diagnosticEvent?.message ?? ""),
    });
  });

  afterAll(() => Lab.clear("lock-others"));

  it(
    "cannot stop a run with a lock on /etc or on a file that only root can open",
    { timeout: 300_000 },
    async () => {
      await stack.up();
      expect((await gate.run(`ls ${lockFile}`, { allowFailure: true })).exitCode).not.toBe(0);
      // Another run, which holds it for a while and then finishes.
      await gate.run(
        `cat >/root/hold <<'EOT'
umask 077
exec 9<>${lockFile}
flock 9
printf '%s\\t0\\tx-dev\\tr\\tthe key pair of shop\\n' "$$" >&9
until [ -e /root/go-on ]; do sleep 0.1; done
rm ${lockFile}
EOT
      systemd-run --quiet --unit another-run sh /root/hold; until [ -s ${lockFile} ]; do sleep 0.1; done`,
      );
      for (const account of ["nobody", "alice"]) {
        const tried = await gate.run(`runuser -u ${account} -- flock -n ${lockFile} true`, {
          allowFailure: true,
        });
        expect(tried.stderr).toContain("Permission denied");
      }
      await stack.setConfig(settings("2"));
      const up = stack.up();
      up.catch(() => {}); // if it fails, the test reports it below
      await until("a script to have waited for a few seconds", 60, async () => {
        const waited = await gate.run(
          `ps -o etimes= -p "$(ps -o ppid= -p "$(pgrep -f 'flock -w 1 9' | head -n 1)" | tr -d ' ')"`,
          { allowFailure: true },
        );
        return Number(waited.stdout) >= 5;
      });
      await gate.run("touch /root/go-on");
      await up;
      expect(said.join("\n")).toMatch(
        /note: gate \(\S+\): .* waits for another run \(the key pair of shop, stack x-dev, pid \d+\)/,
      );
    },
  );

  it("cannot change what the checks find, which is the same as before and kept in a folder of root's", async () => {
    await comesUp();
    const { stdout } = await nas.run(
      "stat -c '%U %a %F' /run/ssh-tunnel-nas-watchdog /run/ssh-tunnel-nas-watchdog/*; stat -c '%U %a' /run/ssh-tunnel-nas; findmnt -no FSTYPE,OPTIONS /run/ssh-tunnel-nas",
    );
    expect(stdout).toContain(
      "root 755 directory\nroot 644 regular file\nroot 644 regular file\nalice 700\ntmpfs",
    );
    expect(stdout).toContain("size=1024k");
  });

  it("cannot block or falsify the status and the metrics, make root read files for them, or fill /run", async () => {
    const folder = "/run/ssh-tunnel-nas-watchdog";
    const spoil = `cd ${folder} && { rm -f state ssh-tunnel-nas.prom; mkfifo ssh-tunnel-nas.prom; ln -s /proc/kcore state; }`;
    expect((await asAlice(spoil)).exitCode).not.toBe(0);
    // As an earlier version left it, whose folder belonged to the account.
    await nas.run(`chown -R alice ${folder}`);
    expect((await asAlice(`${spoil}; ln -s /etc/shadow state.new`)).exitCode).toBe(0);
    const status = await nas.run("timeout 10 ssh-tunnel-status nas", { allowFailure: true });
    expect(status.stdout).toContain("its check has not run yet");
    await look();
    expect((await asAlice(spoil)).exitCode).not.toBe(0);
    expect((await nas.run("timeout 10 ssh-tunnel-status nas")).stdout).toMatch(/ssh .* up /);
    const { stdout } = await nas.run(
      `stat -Lc '%U %F' ${metrics}/ssh-tunnel-nas.prom; cat ${metrics}/ssh-tunnel-nas.prom`,
    );
    expect(stdout).toMatch(/^root regular file\n/);
    expect(
      stdout
        .split("\n")
        .slice(1)
        .filter((line) => !/^(# (HELP|TYPE) )?ssh_tunnel_/.test(line)),
    ).toEqual([]);
    const free = async () => Number((await nas.run("df -k --output=avail /run | tail -1")).stdout);
    const before = await free();
    const big = await asAlice("cd /run/ssh-tunnel-nas && head -c 5000000 /dev/zero >x-big");
    expect(big.stderr).toContain("No space left on device");
    expect(before - (await free())).toBeLessThan(1000);
    // dash exits if it cannot open the file.
    await asAlice(
      "cd /run/ssh-tunnel-nas && rm x-big && i=0 && while [ $i -lt 500 ]; do : >x-$i; i=$((i + 1)); done",
    );
    expect(Number((await nas.run("ls /run/ssh-tunnel-nas | wc -l")).stdout)).toBeLessThan(64);
    await asAlice("rm /run/ssh-tunnel-nas/x-*");
  });

  it("cannot put priorities, escapes or a flood of lines into the journal through evict-stale, and the tunnel comes up", async () => {
    const path = (await gate.run("ls /opt/ssh-reverse-tunnel/ssh-*/bin/evict-stale")).stdout;
    await gate.run(
      `cat >${path} <<'EOT'
#!/bin/sh
printf '<0>\\033[7mpwned\\033[0m\\n'
yes "$(head -c 40000 /dev/zero | tr '\\0' x)"
EOT
      printf 'Banner /etc/banner\\n' >/etc/ssh/sshd_config.d/99-banner.conf
      { printf '<0>\\033[7mbanner\\n'; head -c 20000 /dev/zero | tr '\\0' x; echo; } >/etc/banner
      systemctl reload ssh`,
    );
    const since = (await nas.run("date +%s")).stdout;
    await nas.run("systemctl restart ssh-tunnel-nas");
    await comesUp();
    const journal = async (also: string) =>
      (await nas.run(`journalctl -q -o cat --since @${since} -u ssh-tunnel-nas ${also} | cat -v`)).stdout;
    // evict-stale runs while the forwards are opened.
    await expect.poll(() => journal(""), { timeout: 120_000 }).toContain("the public host says: ");
    const all = await journal("");
    expect(all).not.toMatch(/\^\[|banner/);
    expect(all.length).toBeLessThan(5000);
    expect(await journal("-p 0")).toBe("");
    expect(Math.max(...all.split("\n").map((line) => line.length))).toBeLessThan(300);
  });

  it("leaves nothing after destroy", async () => {
    await gate.run("rm /etc/ssh/sshd_config.d/99-banner.conf /etc/banner; systemctl reload ssh");
    await stack.destroy();
    for (const host of [gate, nas]) {
      const left = await host.run("ls -d /run/ssh-* /opt/ssh-* 2>/dev/null; findmnt -n | grep ssh-tunnel", {
        allowFailure: true,
      });
      expect(left.stdout).toBe("");
    }
  });
});
