import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readFile } from "node:fs/promises";
import { exec } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { leftovers } from "../lab/support/leftovers.ts";
import { until } from "../lab/support/until.ts";

/** The file of `make try-host`, on a host with nothing else from the project. */
describe("the trial of a host without Pulumi", () => {
  let lab: Lab;
  let gate: Host;
  let text: string;

  beforeAll(async () => {
    lab = await Lab.up({ name: "firewall2", hosts: ["gate"] });
    gate = lab.host("gate");
    const file = `${lab.directory}/try-host.sh`;
    await exec("npx", ["tsx", "tools/tryHost.ts", file]);
    text = await readFile(file, "utf8");
  });

  afterAll(() => Lab.clear("firewall2"));

  const run = async (script = text) => {
    const { stdout, exitCode } = await gate.run(
      "cat >/tmp/try.sh && sh /tmp/try.sh; status=$?; rm /tmp/try.sh; exit $status",
      {
        input: script,
        allowFailure: true,
      },
    );
    const lines = stdout.split("\n");
    return { stdout, exitCode, failed: lines.filter((line) => line.startsWith("FAIL")), rows: lines };
  };

  it("passes every check, including those of the firewall, and leaves nothing behind", async () => {
    await gate.run("systemctl start firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done");
    const before = await gate.snapshot();
    const { stdout, exitCode, failed } = await run();
    expect({ failed, exitCode }, stdout).toEqual({ failed: [], exitCode: 0 });
    expect(stdout).toMatch(/^== 25 passed, 0 failed, 5 skipped$/m);
    expect(stdout).toMatch(/^info {2}distribution: Debian/m);
    expect(stdout).toMatch(/^info {2}OpenSSH: OpenSSH_\d/m);
    expect(stdout).toMatch(/^info {2}systemd: systemd \d/m);
    expect(stdout).toMatch(/^info {2}SELinux mode: not enabled$/m);
    expect(stdout).toMatch(/^skip {2}SELinux: it has denied nothing: not enabled$/m);
    expect(stdout).not.toMatch(/^pass {2}SELinux/m);
    expect(await leftovers(gate, before)).toEqual([]);
    await gate.run("systemctl stop firewalld");
  });

  it("prints its usage, and does nothing", async () => {
    const { stdout } = await gate.run("cat >/tmp/try.sh && sh /tmp/try.sh --help; rm /tmp/try.sh", {
      input: text,
    });
    expect(stdout).toMatch(/^usage: sh try-host.sh/);
    expect(
      await gate.run("ls -d /tmp/tmp.* /var/lib/ssh-reverse-tunnel", { allowFailure: true }),
    ).toMatchObject({
      stdout: "",
    });
  });

  // The group includes the reader, as at a terminal; the log shows how far the reader got.
  const start = () =>
    gate.run(
      `cat >/root/try.sh; cd /; setsid env --default-signal=INT sh -c 'echo $$ >/run/try.pid; sh /root/try.sh 2>&1 | tee /run/try.log >/dev/null' </dev/null >/dev/null 2>&1 &`,
      { input: text },
    );

  const over = () =>
    until(
      "the trial to be over",
      100,
      async () => (await gate.run("pgrep -f '[/]root/try.sh'", { allowFailure: true })).exitCode !== 0,
    );

  it.each(["INT", "TERM", "HUP"])(
    "leaves nothing behind if %s interrupts it, whatever reads its output",
    async (signal) => {
      const before = await gate.snapshot();
      await start();
      await until(
        "the trial to be in the middle",
        100,
        async () =>
          Number((await gate.run("grep -c '^pass' /run/try.log", { allowFailure: true })).stdout) > 6,
      );
      expect((await gate.changesSince(before)).join()).toContain("/var/lib/ssh-reverse-tunnel");
      await gate.run(`kill -s ${signal} -- -$(cat /run/try.pid)`);
      await over();
      await gate.run("rm /root/try.sh /run/try.*");
      expect(await leftovers(gate, before)).toEqual([]);
    },
  );

  it("lets the running script finish, so that no useradd leaves its lock behind", async () => {
    const before = await gate.snapshot();
    await gate.run("cat >/usr/local/sbin/useradd && chmod +x /usr/local/sbin/useradd", {
      input: `#!/bin/sh
kill -s INT -- -$(cat /run/try.pid)
/usr/sbin/useradd "$@"
echo $? >>/run/try.useradd
`,
    });
    await start();
    await until(
      "the first useradd",
      100,
      async () => (await gate.run("test -e /run/try.useradd", { allowFailure: true })).exitCode === 0,
    );
    await over();
    expect((await gate.run("cat /run/try.useradd")).stdout).toBe("0");
    await gate.run("rm /root/try.sh /run/try.* /usr/local/sbin/useradd");
    expect(await leftovers(gate, before)).toEqual([]);
  });

  it("reports what it has found left behind", async () => {
    const { exitCode, rows } = await run(text.replaceAll(/^ {2}remove_all$/gm, "  :"));
    expect(exitCode).toBe(1);
    expect(rows).toContain("FAIL  nothing is left behind: see the lines above");
    expect(rows.filter((line) => line.startsWith("skip") && !line.includes("SELinux"))).toEqual([
      "skip  sources-change: no firewall is active",
      "skip  sources-confirm: no firewall is active",
    ]);
  });

  it("reports which script fails, with its error message, and removes what it has created", async () => {
    const before = await gate.snapshot();
    await gate.run("useradd --system tunnel-try");
    const { exitCode, rows, failed, stdout } = await run();
    expect(exitCode).toBe(1);
    expect(failed[0], stdout).toBe(
      "FAIL  gate-server-change: error: gate (127.0.0.1): sshd takes every account 'tunnel-*' for a tunnel's, which AllowUsers allows and whose own keys do not count, but there are others: tunnel-try; give them other names with 'usermod --login NAME', and run 'pulumi up' again",
    );
    expect(rows).toContain("pass  nothing is left behind");
    await gate.run("userdel tunnel-try");
    expect(await leftovers(gate, before)).toEqual([]);
  });
});
