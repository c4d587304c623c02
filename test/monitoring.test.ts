import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";

// The rules for Prometheus that docs/monitoring.md tells people to use.

interface Rule {
  alert: string;
  expr: string;
  for?: string;
}
const text = readFileSync(new URL("../docs/monitoring.md", import.meta.url), "utf8");
const yaml = /^```yaml\n(groups:\n[^]*?)^```/m.exec(text)![1]!;
const { rules } = (parse(yaml) as { groups: { rules: Rule[] }[] }).groups[0]!;

test("every metric in a rule is one that the checks write and the table of metrics explains", () => {
  const used = rules.flatMap(({ expr }) => expr.match(/\b(ssh|node)_\w+/g) ?? []);
  expect(used.length).toBeGreaterThan(2);
  const program = readFileSync(new URL("../components/shell/programs/state.sh", import.meta.url), "utf8");
  for (const metric of used) {
    expect(program, metric).toContain(`family("${metric}"`);
    expect(text, metric).toContain(`| \`${metric}\` `);
  }
});

describe("the rule for a check that no longer runs", () => {
  const rule = rules.find(({ alert }) => alert === "SshTunnelNotChecked")!;
  const scrape = 60;

  test("depends on how often that tunnel is checked, and waits longer than Prometheus does between two scrapes", () => {
    expect(rule.expr).toBe(
      "time() - ssh_tunnel_check_timestamp_seconds > 3 * ssh_tunnel_check_interval_seconds",
    );
    expect(rule.for).toBe("2m");
  });

  /** Seconds until it fires, as Prometheus evaluates it every 15 s; the check does not run after `stops`. */
  const firesAfter = (interval: number, stops: number): number | undefined => {
    let pending: number | undefined;
    for (let now = 0; now < stops + 10 * interval + 600; now += 15) {
      const scraped = Math.floor(now / scrape) * scrape;
      const checked = Math.floor(Math.min(scraped, stops) / interval) * interval;
      if (now - checked <= 3 * interval) pending = undefined;
      else pending ??= now;
      if (pending !== undefined && now - pending >= 120) return now;
    }
    return undefined;
  };

  // healthIntervalSec and watchdogIntervalSec: the shortest, the defaults, and that of examples/office.
  test.each([5, 15, 30, 300])(
    "is silent while the check runs every %d s, and fires soon after it ends",
    (interval) => {
      const day = 86_400;
      const after = firesAfter(interval, day)!;
      expect(after).toBeGreaterThan(day);
      expect(after).toBeLessThan(day + 3 * interval + 240);
    },
  );
});
