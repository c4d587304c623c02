import { describe, expect, it } from "vitest";
import { changesIn, failures, inventoryOf } from "../../bench/fleet/ansible.ts";
import { begunIn, loginsIn, mostAtOnce } from "../../bench/fleet/logins.ts";
import { driftTable } from "../../bench/fleet/drift.ts";
import { contendersIn, fleetPlot, fleetTables, measuredLines } from "../../bench/fleet/report.ts";
import { type Results, type Sample, merge } from "../../bench/fleet/results.ts";

it("the tables name every number of stacks and of forks that was measured, after this project", () => {
  const run = { samples: {} };
  const fleets = {
    "1": { ansible5: run, project: run },
    "30": { ansible50: run, ansible10: run, stacks10: run },
  };
  expect(contendersIn({ measured: {}, fleets }).map(({ title }) => title)).toEqual([
    ...["this project", "this project, 10 stacks"],
    ...["Ansible, 50 forks", "Ansible, 10 forks", "Ansible, 5 forks"],
  ]);
});

it("what a look for drift adds is the difference of the medians", () => {
  const rows = driftTable([{ hosts: 30, plain: [4, 5, 4.5], looking: [9, 8, 12], turnOn: 60 }]);
  expect(rows.at(-1)).toBe("| 30 | 4.5 (5.0) | 9.0 (12) | 4.5 | 60 |");
});

describe("the logins in a journal", () => {
  const journal = [
    "100.5 gate sshd[53]: Accepted publickey for root from 198.18.2.1 port 51618 ssh2: ED25519 SHA256:x",
    "100.6 gate sshd[54]: Accepted publickey for tunnel-h1 from 198.18.2.3 port 48776 ssh2: ED25519 SHA256:x",
    "100.7 gate sshd[55]: Accepted publickey for root from 198.18.2.17 port 1 ssh2: ED25519 SHA256:x",
    "101 gate sshd-session[56]: Accepted publickey for root from 198.18.2.1 port 2 ssh2: ED25519 SHA256:x",
    "102.25 gate sshd[53]: pam_unix(sshd:session): session closed for user root",
    "102.5 gate sshd[55]: pam_unix(sshd:session): session closed for user root",
    "103 gate sshd[53]: Accepted publickey for root from 198.18.2.1 port 3 ssh2: ED25519 SHA256:x",
  ].join("\n");
  const logins = loginsIn(journal, "198.18.2.1");

  it("are root's from the benchmark's machine, and end when sshd closes them", () => {
    expect(logins).toEqual([
      { from: 100.5, to: 102.25 },
      { from: 101, to: Infinity },
      { from: 103, to: Infinity },
    ]);
  });

  it("belong to the operation in which they began", () => {
    expect(begunIn(logins, 100.9, 103)).toEqual(logins.slice(1));
  });

  it("are counted at the moment when most of them are open", () => {
    expect(mostAtOnce(logins)).toBe(2);
    expect(mostAtOnce([])).toBe(0);
  });

  it("do not overlap if one begins just as the other ends", () => {
    const [one, other] = [
      { from: 1, to: 2 },
      { from: 2, to: 3 },
    ];
    expect(mostAtOnce([one, other])).toBe(1);
  });
});

describe("Ansible", () => {
  const recap = [
    "PLAY RECAP *****",
    "gate                       : ok=6    changed=2    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   ",
    "h1                         : ok=12   changed=10   unreachable=0    failed=1    skipped=0    rescued=0    ignored=0   ",
    "h2                         : ok=3    changed=1    unreachable=1    failed=0    skipped=0    rescued=0    ignored=0   ",
  ];

  it("gets an inventory with the ports of each tunnel", () => {
    expect(inventoryOf("198.18.0.2", [{ name: "h1", sshPort: 22001, webPort: 28001 }])).toBe(
      "gate\n[internal]\nh1 ssh_port=22001 web_port=28001\n[all:vars]\ngate_address=198.18.0.2\n",
    );
  });

  it("reports in its recap how much it has changed", () => {
    expect(changesIn(recap)).toBe(13);
  });

  it("reports which hosts have failed, and the first failure", () => {
    expect(failures(["TASK [Host key]", 'fatal: [h1]: FAILED! => {"msg": "no"}', ...recap])).toBe(
      'failed on h1, h2: fatal: [h1]: FAILED! => {"msg": "no"}',
    );
    expect(failures(["ERROR! no such playbook"])).toBe("failed on no host: ERROR! no such playbook");
  });
});

describe("the report of a fleet", () => {
  const sample = (...seconds: number[]): Sample => ({
    attempts: seconds.map((each, index) => {
      const failed = index < seconds.length - 1;
      return { seconds: each, failed, lost: failed ? 12 - index : 0 };
    }),
    ...{ changes: 0, gateLogins: 40, internalLogins: 6, sessions: 33 },
  });
  const results: Results = {
    measured: { "1": "Yesterday", "30": "Yesterday" },
    fleets: {
      "30": {
        project: { samples: { first: sample(60) } },
        ansible50: { samples: { first: sample(92, 86, 80) } },
      },
      "1": {
        project: {
          samples: { first: sample(5), preview: sample(1.25), more: sample(12) },
          idle: { cpu: 0.0123, megabytesPerTunnel: 2.44 },
          state: { bytes: 1_574_500, resources: 45 },
        },
        ansible50: { samples: { first: sample(20), more: sample(36), moreOnly: sample(24) } },
      },
    },
  };
  const contenders = [
    { id: "project", title: "this project" },
    { id: "ansible50", title: "Ansible, 50 forks" },
  ];

  it("lists each operation by the number of hosts, with the ratio to what ran on the same hosts", () => {
    const lines = fleetTables(results, contenders);
    expect(lines.slice(2, 9)).toEqual([
      "| operation | internal hosts | this project | Ansible, 50 forks |",
      "| --- | --- | --- | --- |",
      "| first | 1 | 5.0 | 20 (0.25×) |",
      "| first | 30 | 60 | failed, 12 lost in 92, 11 lost in 86, then 80 |",
      "| preview | 1 | 1.3 |  |",
      "| one more host | 1 | 12 | 36 (0.33×) |",
      "| one more host, `--limit` | 1 | 12 | 24 (0.50×) |",
    ]);
  });

  it("lists the logins, and what is left on the public host and in the state", () => {
    const lines = fleetTables(results, contenders);
    expect(lines).toContain("| first | 30 | 40, 6 | 40, 6 |");
    expect(lines).toContain("| 1 | this project | 33 | 1.23 % | 2.4 | 1575 | 1574.5 | 45 | 45.0 |");
    expect(lines).toContain("| 1 | Ansible, 50 forks | 33 |  |  |  |  |  |  |");
  });

  it("plots what can be compared, with a hatched bar for what failed", () => {
    const plot = fleetPlot(results, contenders);
    expect(plot).toContain(">one more host, --limit<");
    expect(plot).not.toContain(">preview<");
    expect(plot.match(/url\(#never\)/g)).toHaveLength(1);
    expect(plot).toContain(">12 lost</text>");
    expect(plot).not.toMatch(/NaN|undefined/);
  });

  it("keeps results that were measured earlier for other numbers of hosts, and says which those are", () => {
    const fresh: Results = { measured: { "30": "Today" }, fleets: { "30": {} } };
    const merged = merge(results, fresh);
    expect(merged.fleets).toEqual({ "1": results.fleets["1"], "30": {} });
    expect(measuredLines(results)).toEqual(["Yesterday."]);
    expect(measuredLines(merged)).toEqual([
      "- Internal hosts: 1. Yesterday.",
      "- Internal hosts: 30. Today.",
    ]);
  });
});
