import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram, PROJECT } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { expectAsBefore, type HostState, hostState } from "./support/hostState.ts";
import { WATCHES } from "./support/packages.ts";
import { until } from "./support/until.ts";

const TOKEN = "s3cr3t-t0k3n";
const units = `ssh-tunnels-${PROJECT}-dev-notify`;

/** The examples of docs/monitoring.md, in order: a webhook, ntfy and mail. */
const [webhook, ntfy, mail] = [
  ...readFileSync(new URL("../../docs/monitoring.md", import.meta.url), "utf8").matchAll(
    /^```yaml\n([^]*?)^```/gm,
  ),
].flatMap(([, text]) => {
  const host = (parse(text!) as Record<string, { gate?: { notify?: { command: string } } } | undefined>)[
    `${PROJECT}:publicHosts`
  ]?.gate;
  return host?.notify?.command ?? [];
}) as [string, string, string];

/** A web server that writes down what it is sent, and whether the token is on any command line meanwhile. */
const SINK = `import glob, http.server, json
class Sink(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        def shown(file):
            try: return b"${TOKEN}" in open(file, "rb").read()
            except OSError: return False
        seen = [f for f in glob.glob("/proc/[0-9]*/cmdline") if shown(f)]
        with open("/run/sent", "a") as f:
            f.write(json.dumps({"path": self.path, "title": self.headers["Title"], "body": body, "seen": seen}) + "\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Sink).serve_forever()`;

/** A public host with a web server and a mail server, which get the notifications. The tests are a story. */
describe("notifications of a public host", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let before: HostState;
  const url = `url = "http://127.0.0.1:9000/${TOKEN}"`;

  const settings = (notify?: Record<string, unknown>) => ({
    publicHosts: { gate: { ...labAdmin(lab, gate), ...(notify && { notify: { delaySec: 5, ...notify } }) } },
    internalHosts: {
      nas: {
        ...{ ...labAdmin(lab, nas), healthIntervalSec: 5, watchdogIntervalSec: 5 },
        forwards: { ssh: { remotePort: 2222, target: 22 } },
      },
    },
  });
  const startSink = () => gate.run("systemd-run --quiet --unit sink python3 /root/sink.py");
  const startMail = () =>
    gate.run(
      `systemd-run --quiet --unit mail sh -c 'exec python3 -u -W ignore -m smtpd -n -c DebuggingServer 127.0.0.1:25 >/run/mail'`,
    );
  const sent = async () => {
    const { stdout } = await gate.run("cat /run/sent 2>/dev/null || :");
    const lines = stdout.split("\n").filter(Boolean);
    return lines.map(
      (line) => JSON.parse(line) as { path: string; title: string | null; body: string; seen: string[] },
    );
  };
  const sentTimes = (count: number) =>
    until(`${count} notifications`, 300, async () => (await sent()).length >= count, 500);
  const journal = async () => (await gate.run(`journalctl -q -o cat -u ${units}`)).stdout;

  beforeAll(async () => {
    lab = await Lab.up({
      name: "notify",
      hosts: [{ name: "gate", packages: WATCHES }, "nas"],
    });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await gate.run("cat >/root/sink.py", { input: SINK });
    await gate.run("systemctl disable --now prometheus prometheus-alertmanager prometheus-node-exporter");
    before = await hostState(gate);
    await startSink();
    stack = await openProgram(lab, { config: settings({ command: webhook, secret: url }) });
    await stack.up();
  });

  afterAll(() => Lab.clear("notify"));

  it("reach a webhook once when a tunnel goes down, with the reason, and once when it is back", async () => {
    await nas.run("systemctl stop ssh-tunnel-nas");
    await sentTimes(1);
    await nas.run("systemctl start ssh-tunnel-nas");
    await sentTimes(2);
    const texts = (await sent()).map(({ body }) => (JSON.parse(body) as { text: string }).text);
    expect(texts).toEqual([
      expect.stringMatching(/^gate: tunnel nas: forward ssh is down: nothing listens there \(since 20.*Z\)$/),
      expect.stringMatching(/^gate: tunnel nas: forward ssh is up again \(since 20.*Z\)$/),
    ]);
    expect(await journal()).toContain("told: gate: tunnel nas: forward ssh is up again");
  });

  it("keep the secret from other users, command lines, the journal and Pulumi's output", async () => {
    expect((await sent()).map(({ path, seen }) => [path, seen])).toEqual(Array(2).fill([`/${TOKEN}`, []]));
    const file = `/etc/ssh-reverse-tunnel/${units}/secret`;
    expect((await gate.run(`stat -c '%U %a' ${file}`)).stdout).toBe("root 600");
    const look = `grep -rs ${TOKEN} /etc/systemd /opt/ssh-reverse-tunnel /run/systemd/system /var/lib/ssh-reverse-tunnel; journalctl -q -o cat | grep ${TOKEN}; systemctl show ${units} | grep ${TOKEN}`;
    expect((await gate.run(look, { allowFailure: true })).stdout).toBe("");
    const theirs = await gate.run(`su alice -c 'cat ${file}'`, { allowFailure: true });
    expect(theirs.stderr).toContain("Permission denied");
    const { stdout } = await stack.preview();
    expect(stdout).not.toContain(TOKEN);
  });

  it("do not change in a second up, which repeats none", async () => {
    expect((await stack.up()).stdout).not.toMatch(/\bchanged: /);
    await gate.run(`systemctl start ${units}`);
    expect(await sent()).toHaveLength(2);
  });

  it("run as an account of systemd's that may do nothing else", async () => {
    const command = `#!/bin/sh
      [ "$(id -u)" -ge 1000 ] && ! touch /etc/x /root/x && ! cat /etc/ssh-reverse-tunnel/${units}/secret && ! su -c true &&
      ${ntfy.trim()}`;
    await stack.setConfig(settings({ command, secret: url }));
    await stack.up();
    await gate.run("systemctl stop sink");
    await nas.run("systemctl stop ssh-tunnel-nas");
    await until("a notification to fail", 300, async () => (await journal()).includes("could not tell"), 500);
  });

  it("are shown to fail by ssh-tunnel-status and the journal, and are tried again until they succeed", async () => {
    expect(await journal()).toMatch(
      /the command said: curl: \(7\) Failed to connect to 127\.0\.0\.1 port 9000/,
    );
    const command = "journalctl -u 'ssh-tunnels-*-notify.service'";
    for (const page of ["monitoring", "runbook"]) {
      expect(readFileSync(new URL(`../../docs/${page}.md`, import.meta.url), "utf8")).toContain(command);
    }
    expect((await gate.run(`${command} -n 20 --no-pager`)).stdout).toContain("the command said: curl: (7)");
    const complaint = `notifications fail; see journalctl -u ${units}`;
    const complains = async () =>
      (await gate.run("su alice -c ssh-tunnel-status", { allowFailure: true })).stdout.includes(complaint);
    await until("its run to end", 60, complains, 500);
    await startSink();
    await sentTimes(3);
    expect((await sent())[2]).toMatchObject({
      title: "nas is down",
      body: expect.stringContaining("forward ssh is down: nothing listens there") as string,
    });
    await until("its run to end", 60, async () => !(await complains()), 500);
  });

  it("are not repeated if the host loses its power while a tunnel is down", async () => {
    await gate.powerCut();
    await gate.boot();
    await startSink();
    await until(
      "the tunnel to be down for longer than the delay",
      300,
      async () => {
        const { stdout } = await gate.run("ssh-tunnel-status --json", { allowFailure: true });
        const { time, tunnels } = JSON.parse(stdout) as {
          time: string;
          tunnels: { state: string; forwards: { since: string }[] }[];
        };
        const [nas] = tunnels;
        return nas?.state === "down" && Date.parse(time) - Date.parse(nas.forwards[0]!.since) > 5000;
      },
      500,
    );
    await gate.run(`systemctl start ${units}`);
    expect(await sent()).toEqual([]);
  });

  it("that could not start on a host are an error of up", async () => {
    const dropIns = `/etc/systemd/system/${units}.service.d`;
    await gate.run(
      `mkdir ${dropIns} && printf '[Service]\\nBindReadOnlyPaths=/nowhere\\n' >${dropIns}/broken.conf && systemctl daemon-reload`,
    );
    await stack.setConfig(settings({ command: mail, account: "alice" }));
    expect(await failedUp(stack)).toMatch(
      /error: gate \(.*\): ssh-tunnels-\S+-notify\.service does not start, since systemd cannot set up its namespaces here/,
    );
    await gate.run(`rm -r ${dropIns} && systemctl daemon-reload`);
  });

  it("reach the mail server of the host, and know what has been told by another account", async () => {
    await startMail();
    const { stdout } = await stack.up();
    expect(stdout).toContain(`removed /etc/ssh-reverse-tunnel/${units}/secret`);
    await nas.run("systemctl start ssh-tunnel-nas");
    const text = await until(
      "the mail",
      300,
      async () => {
        const { stdout } = await gate.run("cat /run/mail");
        return stdout.includes("forward ssh is up again") && stdout;
      },
      500,
    );
    expect(text).toMatch(/Subject: nas is up/);
    expect((await gate.run(`stat -c %U /var/lib/${units}`)).stdout).toBe("alice");
    expect(await sent()).toEqual([]);
  });

  it("leave nothing when they are taken out of the settings, and the tunnel stays as it is", async () => {
    const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
    const was = await pid();
    await stack.setConfig(settings());
    await stack.up();
    expect(await pid()).toBe(was);
    const left = await gate.run(
      `ls -d /etc/systemd/system/*notify* /etc/ssh-reverse-tunnel/*notify* /opt/ssh-reverse-tunnel/*/bin/notify* /var/lib/*notify* /var/lib/private/*notify* /run/*notify* /run/private/*notify* 2>/dev/null`,
      { allowFailure: true },
    );
    expect(left.stdout).toBe("");
    await stack.destroy();
    await gate.run("systemctl stop sink mail && rm -f /run/sent /run/mail");
    // Those have other numbers after a boot.
    await expectAsBefore(gate, before, ["processes", "listeners"]);
  });
});
