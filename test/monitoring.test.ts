import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

// What monitoring/ offers to Prometheus, Alertmanager and Grafana. Its rules are tried in test/lab/monitoring.test.ts.

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

interface Rule {
  alert?: string;
  record?: string;
  expr: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}
const { rules } = (parse(read("monitoring/ssh-tunnel.rules.yml")) as { groups: { rules: Rule[] }[] })
  .groups[0]!;
const alerts = rules.filter(({ alert }) => alert !== undefined);
const documented = read("docs/monitoring.md");
const state = read("components/shell/programs/state.sh");

/** The metrics of ours that a text names; not those that the rules record, and not the name of the program. */
const metricsIn = (text: string) => [
  ...new Set((text.match(/\bssh_tunnel_\w+/g) ?? []).filter((name) => !name.endsWith("_"))),
];

describe("every metric", () => {
  const written = metricsIn(state);

  test.each(["monitoring/ssh-tunnel.rules.yml", "monitoring/grafana-dashboard.json"])(
    "in %s is one that the checks write",
    (file) => {
      const used = metricsIn(read(file));
      expect(used.length).toBeGreaterThan(5);
      expect(used.filter((name) => !written.includes(name))).toEqual([]);
    },
  );

  test("that the checks write is explained in the table of metrics, and no other is", () => {
    const explained = [...documented.matchAll(/^\| `(ssh_tunnel_\w+)` /gm)].map(([, name]) => name);
    expect(explained.sort()).toEqual([...written].sort());
  });
});

describe("the alert", () => {
  test.each(alerts.map((rule) => [rule.alert!, rule] as const))(
    "%s has a severity, a summary, a description and a section of the runbook",
    (name, { labels, annotations }) => {
      expect(["critical", "warning", "info"]).toContain(labels?.["severity"]);
      expect(Object.keys(annotations ?? {})).toEqual(["summary", "description", "runbook_url"]);
      const [, anchor] = /\/docs\/runbook\.md#([a-z-]+)$/.exec(annotations!["runbook_url"]!)!;
      const sections = read("docs/runbook.md").split(/^## /m);
      const section = sections.find((text) => anchorOf(text.split("\n")[0]!) === anchor);
      expect(section).toContain(`\`${name}\``);
      expect(documented).toContain(`| \`${name}\` `);
    },
  );

  test("leads to the address that the documented command replaces by one's own, in the rules and their tests", () => {
    const [, address] = /^sed -i 's\|([^|]+)\|[^|]+\|' monitoring\/ssh-tunnel\.rules\*\.yml$/m.exec(
      documented,
    )!;
    for (const file of ["monitoring/ssh-tunnel.rules.yml", "monitoring/ssh-tunnel.rules.test.yml"]) {
      const links = [...read(file).matchAll(/runbook_url: *(\S+)/g)].map(([, link]) => link!);
      expect(links.length).toBeGreaterThanOrEqual(alerts.length);
      expect(links.filter((link) => !link.startsWith(`${address}#`))).toEqual([]);
    }
  });

  test("is tested with promtool in each case", () => {
    const tested = read("monitoring/ssh-tunnel.rules.test.yml");
    for (const { alert } of alerts) {
      const tries = tested.split(`alertname: ${alert}`).length - 1;
      expect(tries, alert).toBeGreaterThan(1);
    }
  });
});

test("every link within the runbook leads to one of its sections", () => {
  const text = read("docs/runbook.md");
  const sections = [...text.matchAll(/^## (.*)$/gm)].map(([, heading]) => anchorOf(heading!));
  const links = [...text.matchAll(/\]\(#([^)]*)\)/g)].map(([, anchor]) => anchor!);
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter((anchor) => !sections.includes(anchor))).toEqual([]);
});

/** A heading's anchor, as on GitHub. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^a-z0-9 -]/g, "")
    .replaceAll(" ", "-");
}
