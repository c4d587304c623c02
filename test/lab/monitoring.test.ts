import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse, stringify } from "yaml";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { labAdmin, openProgram } from "../../lab/program.ts";
import { WATCHES } from "./support/packages.ts";
import { healthCheckOf } from "./support/settings.ts";
import { until } from "./support/until.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** What Debian's package makes node_exporter read. */
const textfileDirectory = "/var/lib/prometheus/node-exporter";

/** Every request with a body is a line in the file. */
const SINK = `import http.server
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open("/run/alerts", "ab").write(body.replace(b"\\n", b" ") + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Sink).serve_forever()`;

interface Alert {
  status: string;
  labels: Record<string, string>;
}

interface Dashboard {
  panels: { title: string; targets: { expr: string }[] }[];
}

/** A tunnel, and a third host with Debian's Prometheus and Alertmanager that watches both ends. The tests are a story. */
describe("what monitoring/ has for Prometheus", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let watch: Host;
  /** How many alerts have been told before the fault. */
  let before = 0;

  const put = (file: string, text: string) => watch.run(`cat >${file}`, { input: text });

  beforeAll(async () => {
    lab = await Lab.up({
      name: "monitoring",
      hosts: ["gate", "nas", "watch"].map((name) => ({ name, packages: WATCHES })),
    });
    [gate, nas, watch] = [lab.host("gate"), lab.host("nas"), lab.host("watch")];
    const often = { watchdogIntervalSec: 5, healthIntervalSec: 5 };
    const stack = await openProgram(lab, {
      config: {
        publicHosts: { gate: { ...labAdmin(lab, gate), textfileDirectory, clientAliveIntervalSec: 5 } },
        internalHosts: {
          nas: {
            ...{ ...labAdmin(lab, nas), textfileDirectory, ...often },
            forwards: { ssh: { remotePort: 2222, target: 22 }, web: { remotePort: 8080, target: 8080 } },
            logins: [{ from: "root", to: "root" }],
          },
        },
      },
    });
    const own = [gate, nas].map((host) =>
      host.run(
        `systemctl disable --now prometheus prometheus-alertmanager && chown prometheus: ${textfileDirectory}`,
      ),
    );
    await Promise.all(own);
    await stack.up();
    const rules = read("monitoring/ssh-tunnel.rules.yml");
    await watch.run("mkdir /root/monitoring");
    await put("/root/monitoring/ssh-tunnel.rules.yml", rules);
    await put("/root/monitoring/ssh-tunnel.rules.test.yml", read("monitoring/ssh-tunnel.rules.test.yml"));
    // promtool's tests have the real times; here 15 s stand for a minute. A tunnel must be back within 30 s.
    const quick = rules.replaceAll(/for: (\d)m$/gm, (_, minutes: string) => `for: ${15 * Number(minutes)}s`);
    await put("/etc/prometheus/ssh-tunnel.rules.yml", quick);
    await put("/etc/prometheus/prometheus.yml", stringify(prometheus()));
    await put("/etc/prometheus/alertmanager.yml", stringify(alertmanager()));
    await put("/root/sink.py", SINK);
    // Without a private address, it does not want to be one of several.
    await put("/etc/default/prometheus-alertmanager", 'ARGS="--cluster.listen-address="\n');
    await watch.run(
      `systemd-run --quiet --unit sink python3 /root/sink.py
       until curl -s -d ready 127.0.0.1:9000; do sleep 0.1; done
       systemctl restart prometheus prometheus-alertmanager`,
    );
  });

  afterAll(() => Lab.clear("monitoring"));

  const prometheus = () => ({
    global: { scrape_interval: "2s", scrape_timeout: "2s", evaluation_interval: "1s" },
    rule_files: ["/etc/prometheus/ssh-tunnel.rules.yml"],
    alerting: { alertmanagers: [{ static_configs: [{ targets: ["127.0.0.1:9093"] }] }] },
    scrape_configs: [{ job_name: "node", static_configs: [{ targets: ["gate:9100", "nas:9100"] }] }],
  });
  /** The example, quicker, and with the sink as each receiver. */
  const alertmanager = () => {
    const { route, ...rest } = parse(read("monitoring/alertmanager.example.yml")) as {
      route: object;
      receivers: { name: string }[];
    };
    const webhook_configs = [{ url: "http://127.0.0.1:9000/", send_resolved: true }];
    return {
      ...rest,
      route: { ...route, group_wait: "0s", group_interval: "1s" },
      receivers: rest.receivers.map(({ name }) => ({ name, webhook_configs })),
    };
  };

  /** The values of an expression, by what Prometheus answers. */
  const ask = async (expr: string) => {
    const { stdout } = await watch.run(
      `curl -sS --data-urlencode query@- http://127.0.0.1:9090/api/v1/query`,
      { input: expr },
    );
    const { status, error, data } = JSON.parse(stdout) as {
      status: string;
      error?: string;
      data?: { result: { metric: Record<string, string>; value: [number, string] }[] };
    };
    if (status !== "success") throw new Error(`${expr}: ${error}`);
    return data!.result;
  };
  /** What has been told since the fault: "firing SshTunnelDown nas", each once, in order. */
  const told = async (severity = "critical") => {
    const { stdout } = await watch.run("cat /run/alerts");
    const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
    const alerts = lines
      .slice(before)
      .flatMap((line) => (JSON.parse(line) as { alerts: Alert[] }).alerts)
      .filter(({ labels }) => labels["severity"] === severity)
      .map(
        ({ status, labels }) => `${status} ${labels["alertname"]} ${labels["tunnel"] ?? labels["instance"]}`,
      );
    return [...new Set(alerts)];
  };
  const tells = (alert: string, severity?: string) =>
    until(`the alert "${alert}"`, 300, async () => (await told(severity)).includes(alert), 500);
  const forget = async () => {
    before = Number((await watch.run("grep -c '^{' /run/alerts", { allowFailure: true })).stdout);
  };
  const allUp = () =>
    until(
      "Prometheus to see each forward from both hosts",
      180,
      async () => {
        const up = await ask("ssh_tunnel_up == 1 and on (instance) up == 1");
        return up.length === 4 && (await ask("ALERTS")).length === 0;
      },
      500,
    );

  /** The dashboard's expressions, as Grafana sends them. */
  const expressions = (JSON.parse(read("monitoring/grafana-dashboard.json")) as Dashboard).panels.flatMap(
    ({ targets }) => targets.map(({ expr }) => expr.replaceAll("$tunnel", ".*").replaceAll("$__range", "1h")),
  );
  const answered = async () => {
    const answers = await Promise.all(expressions.map(async (expr) => [expr, await ask(expr)] as const));
    return answers.filter(([, result]) => result.length > 0).map(([expr]) => expr);
  };
  let seen: string[] = [];

  it("has rules that promtool accepts, and that pass their own tests", async () => {
    const { stdout } = await watch.run(
      "promtool check rules monitoring/*.rules.yml && promtool test rules monitoring/*.test.yml",
      { timeoutSeconds: 300 },
    );
    expect(stdout).toContain("SUCCESS");
  });

  it("has rules that lead to one's own copy of the runbook after the documented commands", async () => {
    const [, documented] = /^```sh\n(sed -i [^]*?)^```/m.exec(read("docs/monitoring.md"))!;
    await watch.run(`set -e\n${documented}`, { timeoutSeconds: 300 });
    const { stdout } = await watch.run("grep -h runbook_url monitoring/*");
    expect(stdout).toContain("https://wiki.example.org/tunnels#a-tunnel-is-down");
    expect(stdout).not.toContain("github.com");
  });

  it("has an example that amtool accepts", async () => {
    await put("/root/alertmanager.yml", read("monitoring/alertmanager.example.yml"));
    await watch.run("amtool check-config alertmanager.yml");
  });

  it("uses metrics that both hosts have while the tunnel is up, and then no alert is raised", async () => {
    await allUp();
    const names = (await ask('count by (__name__) ({__name__=~"ssh_tunnel_.*"})')).map(
      ({ metric }) => metric["__name__"],
    );
    const written = read("components/shell/programs/state.sh").match(/\bssh_tunnel_\w+(?=")/g) ?? [];
    expect(new Set([...names, "ssh_tunnel_down_info"])).toEqual(new Set(written));
    expect(await told()).toEqual([]);
    seen = await answered();
  });

  it("has a runbook whose commands work on the hosts", async () => {
    const blocks = [...read("docs/runbook.md").matchAll(/^( *)```sh\n([^]*?)^\1```$/gm)];
    expect(blocks.length).toBeGreaterThan(8);
    for (const [, , text] of blocks) {
      const [where, ...commands] = text!
        .trim()
        .split("\n")
        .map((line) => line.trim());
      expect(where).toMatch(/^# (gate|nas)$/);
      for (const command of commands) {
        const { exitCode, stderr } = await lab.host(where!.slice(2)).run(command, { allowFailure: true });
        expect([command, exitCode, stderr]).not.toEqual([
          command,
          expect.any(Number),
          expect.stringMatching(/option|usage|not found|unknown|no effect/i),
        ]);
        expect([126, 127]).not.toContain(exitCode);
      }
    }
    await allUp();
  });

  it("wakes somebody once if an internal host loses its power, and says so when the tunnel is back", async () => {
    await forget();
    await nas.powerCut();
    await tells("firing SshTunnelDown nas");
    seen = [...seen, ...(await answered())];
    await nas.boot();
    await tells("resolved SshTunnelDown nas");
    expect(await told()).toEqual(["firing SshTunnelDown nas", "resolved SshTunnelDown nas"]);
  });

  it("has a dashboard of which each expression has been answered", () => {
    expect(expressions.length).toBeGreaterThan(15);
    expect(expressions.filter((expr) => !seen.includes(expr))).toEqual([]);
  });

  it("wakes somebody once if a public host is gone, and not for each of its tunnels", async () => {
    await allUp();
    await forget();
    await gate.powerCut();
    await tells("firing SshTunnelPublicHostGone gate:9100");
    await until(
      "nas to notice",
      180,
      async () => (await ask('ssh_tunnel_up{side="internal"} == 0')).length > 0,
    );
    await gate.boot();
    await tells("resolved SshTunnelPublicHostGone gate:9100");
    await allUp();
    expect(await told()).toEqual([
      "firing SshTunnelPublicHostGone gate:9100",
      "resolved SshTunnelPublicHostGone gate:9100",
    ]);
  });

  it("reports a check that does not run after a boot, when its file is missing", async () => {
    await forget();
    await gate.run(`systemctl disable --now ${healthCheckOf()}.timer && rm /run/${healthCheckOf()}/*.prom`);
    await tells("firing SshTunnelNotChecked nas", "warning");
    expect(await ask('ssh_tunnel_check_timestamp_seconds{side="public"}')).toEqual([]);
    await gate.run(/^cd \S+ && systemctl start .*$/m.exec(read("docs/runbook.md"))![0]);
    await tells("resolved SshTunnelNotChecked nas", "warning");
    expect(await told("warning")).toEqual([
      "firing SshTunnelNotChecked nas",
      "resolved SshTunnelNotChecked nas",
    ]);
  });
});
