import type { EngineEvent } from "@pulumi/pulumi/automation/index.js";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import type { LookedAt } from "../../components/remote/look.ts";
import { lookForDrift } from "../../components/remote/look.ts";
import { ownerOf } from "../../components/remote/remoteScript.ts";
import { until } from "../../lab/exec.ts";
import type { Host } from "../../lab/host.ts";
import { Lab } from "../../lab/lab.ts";
import { PROJECT, labHost, openProgram } from "../../lab/program.ts";
import type { LabStack } from "../../lab/stack.ts";
import { failedUp } from "./support/failure.ts";
import { healthCheckOf, type Part, tunnelSettings } from "./support/settings.ts";

const drift = "ssh-reverse-tunnel-dev";
const health = healthCheckOf();
const notifies = health.replace(/health$/, "notify");
const dropIn = `/etc/ssh/sshd_config.d/00-${drift}.conf`;
const programs = `/opt/ssh-reverse-tunnel/${drift}/bin`;
const keys = "/etc/ssh/ssh-reverse-tunnel/tunnel-nas.keys";
const units = "/etc/systemd/system";
const inside = "/var/lib/tunnel-nas/.ssh/ssh-reverse-tunnel";
const PLACE = "~tunnel-nas/.ssh/ssh-reverse-tunnel";

/** What somebody does by hand, what a look then finds in addition, and the record that it is on. */
type Change = [host: "gate" | "nas", command: string, findings: string[], record: string];

const server = "gate-server";
const admit = "nas-on.gate-admit";
const firewall = "nas-on.gate-firewall-ports";
const loginKeys = "nas-on.gate-login-keys";
const settle = "nas-on.gate-settle";
const notify = "gate-notify-script";

/** Some at a time, without a repair in between. */
const changes: Change[] = [
  ["gate", `echo '# mine' >>${dropIn}`, [`${dropIn}: other content`], server],
  ["gate", `chmod 700 ${programs}/evict-stale`, [`${programs}/evict-stale: mode 700 instead of 755`], server],
  ["gate", `sed -i 's/^restrict,/restrict,pty,/' ${keys}`, [`our line in ${keys}: other content`], admit],
  ["gate", `chmod 600 ${keys}`, [`${keys}: mode 600 instead of 644`], admit],
  [
    "gate",
    "usermod --shell /bin/bash tunnel-nas",
    ["the account tunnel-nas: shell /bin/bash instead of /bin/sh"],
    admit,
  ],
  [
    "gate",
    `rm ${units}/user@$(id -u tunnel-nas).service`,
    ["the mask of user@UID.service is missing"],
    admit,
  ],
  [
    "gate",
    `chown alice /etc/ssh-reverse-tunnel/${health}`,
    [`/etc/ssh-reverse-tunnel/${health}: owner alice instead of root`],
    settle,
  ],
  [
    "gate",
    "chmod 644 /root/.ssh/ssh-reverse-tunnel/nas.key",
    ["~root/.ssh/ssh-reverse-tunnel/nas.key: mode 644 instead of 600"],
    loginKeys,
  ],
  [
    "gate",
    "rm /root/.ssh/ssh-reverse-tunnel/nas.key.pub",
    ["~root/.ssh/ssh-reverse-tunnel/nas.key.pub is missing"],
    loginKeys,
  ],
  [
    "gate",
    "firewall-cmd --quiet --remove-port=8080/tcp",
    ["the rule for port 8080 in firewalld's zone public (running) is missing"],
    firewall,
  ],
  [
    "gate",
    "firewall-cmd --quiet --permanent --remove-port=8080/tcp",
    ["the rule for port 8080 in firewalld's zone public (permanent) is missing"],
    firewall,
  ],
  [
    "gate",
    "rm /root/.ssh/ssh-reverse-tunnel/nas.known_hosts",
    ["~root/.ssh/ssh-reverse-tunnel/nas.known_hosts is missing"],
    settle,
  ],
  [
    "gate",
    "echo '    Port 2299' >>/root/.ssh/ssh-reverse-tunnel/nas.conf",
    ["~root/.ssh/ssh-reverse-tunnel/nas.conf: other content"],
    settle,
  ],
  [
    "gate",
    "sed -i '/ssh-reverse-tunnel/d' /root/.ssh/config",
    ["the line 'Include ssh-reverse-tunnel/*.conf' in ~root/.ssh/config is missing"],
    settle,
  ],
  ["gate", `echo >>${programs}/health`, [`${programs}/health: other content`], settle],
  [
    "gate",
    `chmod 666 ${units}/${health}.service`,
    [`${units}/${health}.service: mode 666 instead of 644`],
    settle,
  ],
  [
    "gate",
    `chown alice /etc/ssh-reverse-tunnel/${health}/nas`,
    [`/etc/ssh-reverse-tunnel/${health}/nas: owner alice instead of root`],
    settle,
  ],
  [
    "gate",
    `rm ${units}/${health}.timer.d/30.conf`,
    [`${units}/${health}.timer.d/30.conf is missing`],
    settle,
  ],
  [
    "gate",
    `systemctl --quiet stop ${health}.timer`,
    [`${health}.timer: ActiveState inactive instead of active`],
    settle,
  ],
  ["gate", "rm /usr/local/bin/ssh-tunnel-status", ["/usr/local/bin/ssh-tunnel-status is missing"], settle],
  ["gate", `echo >>${programs}/notify-command`, [`${programs}/notify-command: other content`], notify],
  [
    "gate",
    `chmod 644 /etc/ssh-reverse-tunnel/${notifies}/secret`,
    [`/etc/ssh-reverse-tunnel/${notifies}/secret: mode 644 instead of 600`],
    notify,
  ],
  [
    "gate",
    `echo 'User=root' >>${units}/${notifies}.service`,
    [`${units}/${notifies}.service: other content`],
    notify,
  ],
  [
    "gate",
    `systemctl --quiet disable --now ${notifies}.timer`,
    [`${notifies}.timer: UnitFileState disabled instead of enabled, ActiveState inactive instead of active`],
    notify,
  ],
  ["nas", "chmod 755 /var/lib/tunnel-nas", ["/var/lib/tunnel-nas: mode 755 instead of 700"], "nas-prepare"],
  ["nas", `chmod 755 ${inside}`, [`${PLACE}: mode 755 instead of 700`], "nas-prepare"],
  ["nas", `echo x >>${inside}/nas.key.pub`, [`${PLACE}/nas.key.pub: other content`], "nas-prepare"],
  [
    "nas",
    "usermod --expiredate 1 tunnel-nas",
    ["the account tunnel-nas: end 1 instead of none"],
    "nas-prepare",
  ],
  [
    "nas",
    "usermod --lock tunnel-nas",
    ["the account tunnel-nas: password locked instead of none, end 1 instead of none"],
    "nas-prepare",
  ],
  [
    "nas",
    `chmod 666 ${units}/ssh-tunnel-nas.service`,
    [`${units}/ssh-tunnel-nas.service: mode 666 instead of 644`],
    "nas-start",
  ],
  ["nas", `chmod 644 ${inside}/nas.conf`, [`${PLACE}/nas.conf: mode 644 instead of 600`], "nas-start"],
  [
    "nas",
    "systemctl --quiet disable ssh-tunnel-nas.service",
    ["ssh-tunnel-nas.service: UnitFileState disabled instead of enabled"],
    "nas-start",
  ],
  [
    "nas",
    "sed -i '/ssh-reverse-tunnel/d' /root/.ssh/authorized_keys",
    ["our line in ~root/.ssh/authorized_keys is missing"],
    "nas-start",
  ],
  [
    "nas",
    "systemctl --quiet disable --now ssh-tunnel-nas-watchdog.timer",
    [
      "ssh-tunnel-nas-watchdog.timer: UnitFileState disabled instead of enabled, ActiveState inactive instead of active",
    ],
    "nas-start",
  ],
];

/** What changes more than one thing, or stops the tunnel: each is repaired before the next. */
const others: Change[] = [
  [
    "nas",
    "systemctl --quiet stop ssh-tunnel-nas.service",
    ["ssh-tunnel-nas.service: ActiveState inactive instead of active"],
    "nas-start",
  ],
  [
    "nas",
    `echo 'exit 1' >/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/tunnel; echo x >>${inside}/nas.known_hosts`,
    [
      "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/tunnel: other content",
      `${PLACE}/nas.known_hosts: other content`,
    ],
    "nas-start",
  ],
  [
    "gate",
    "groupdel --force ssh-tunnel",
    ["the account tunnel-nas: group GID instead of ssh-tunnel", "the group ssh-tunnel is missing"],
    admit,
  ],
  ["gate", "userdel --force tunnel-nas 2>/dev/null", ["the account tunnel-nas is missing"], admit],
  ["gate", `rm ${dropIn}`, [`${dropIn} is missing`], server],
];

/** What somebody changes by hand on the hosts of a stack with `drift: true`. The tests are a story. */
describe("drift", () => {
  let lab: Lab;
  let gate: Host;
  let nas: Host;
  let stack: LabStack;
  let events: EngineEvent[] = [];

  const settings = (more: Part = {}) => ({
    ...tunnelSettings(lab, gate, nas, {
      forwards: {
        ssh: { remotePort: 2222, target: 22 },
        web: { remotePort: 8080, target: 80, listen: "all" },
      },
      gate: { notify: { command: "true", secret: "a secret" } },
      nas: { admin: { ...adminOf(nas), user: "admin" } },
    }),
    drift: true,
    ...more,
  });
  const adminOf = (host: Host) => ({ privateKeyFile: lab.adminKeyFile, hostKey: host.hostKey });

  /** What a look finds now, on both hosts. */
  const look = async () => {
    const hosts: LookedAt[] = [labHost(lab, gate), { ...labHost(lab, nas) }];
    hosts[1]!.connection = { ...hosts[1]!.connection, user: "admin" };
    const looks = await lookForDrift(hosts, ownerOf(PROJECT, "dev"), () => undefined);
    for (const each of Object.values(looks)) expect([each.error, each.notes]).toEqual([undefined, []]);
    return Object.values(looks)
      .flatMap((each) => Object.entries(each.drift))
      .flatMap(([record, { findings }]) => findings.map((words) => `${plain(words)} (${record})`))
      .sort();
  };
  /** Numbers of accounts are the host's. */
  const plain = (words: string) => words.replace(/user@\d+/, "user@UID").replace(/group \d+/, "group GID");
  const found = ([, , findings, record]: Change) => findings.map((words) => `${words} (${record})`);
  /** A second finding about the same account takes the place of the first. */
  const merged = (all: string[]) =>
    all.filter(
      (words) =>
        !all.some(
          (other) =>
            other !== words &&
            other.includes("password locked") &&
            words.includes("end 1") &&
            !words.includes("password"),
        ),
    );

  /** What a preview shows: its warnings, and the commands and notes that it would update. */
  const preview = async () => {
    events = [];
    const { diagnostics } = await stack.preview();
    const updates = events.flatMap(({ resourcePreEvent }) => {
      const { op, urn } = resourcePreEvent?.metadata ?? { op: "same", urn: "" };
      return op === "same" || urn.includes("pulumi:pulumi:") ? [] : [`${op} ${urn.split("::").pop()}`];
    });
    const warnings = diagnostics.flatMap(
      (line) => /^warning: (?:\w+: )?\w+ \([^)]*\): (.*)$/.exec(line)?.[1] ?? [],
    );
    return { updates: updates.sort(), warnings: warnings.map(plain).sort() };
  };
  const clean = { updates: [], warnings: [] };

  const pid = async () => (await nas.run("systemctl show -P MainPID ssh-tunnel-nas")).stdout;
  const banner = async () =>
    (await gate.run("ssh -o ConnectTimeout=2 nas echo through", { allowFailure: true })).stdout;

  beforeAll(async () => {
    lab = await Lab.up({ name: "drift", hosts: ["gate", "nas"] });
    [gate, nas] = [lab.host("gate"), lab.host("nas")];
    await gate.run(
      "systemctl enable --quiet --now firewalld && until firewall-cmd --quiet --state; do sleep 0.1; done",
    );
    await nas.run("systemd-run --quiet --unit web busybox httpd -f -p 127.0.0.1:80 -h /srv");
    stack = await openProgram(lab, { config: settings(), onEvent: (event) => events.push(event) });
    await stack.up();
  });

  afterAll(() => Lab.clear("drift"));

  it("is nothing after an up, and the next preview changes nothing", async () => {
    expect(await look()).toEqual([]);
    expect(await preview()).toEqual(clean);
  });

  it("of any kind is found, whatever it is, and nothing else is", async () => {
    let before: string[] = [];
    for (let first = 0; first < changes.length; first += 5) {
      const some = changes.slice(first, first + 5);
      for (const [host, command] of some) await (host === "gate" ? gate : nas).run(command);
      const expected = merged([...before, ...some.flatMap(found)]).sort();
      expect(await look()).toEqual(expected);
      before = expected;
    }
  });

  it("is a warning in the preview, with an update of each command that repairs it, and of those that check it", async () => {
    const { updates, warnings } = await preview();
    expect(warnings).toEqual(merged(changes.flatMap(found)).sort());
    expect(updates).toEqual(
      [
        ...["gate-drift", "nas-drift", "gate-server-change", "gate-server-confirm", loginKeys, admit, notify],
        ...[`${firewall}-change`, `${firewall}-confirm`, "nas-prepare", "nas-start", settle, "nas-finish"],
      ]
        .map((name) => `update ${name}`)
        .sort(),
    );
  });

  it("is repaired by up, which does not restart a tunnel whose program and settings are as they were", async () => {
    const before = await pid();
    await stack.up();
    expect(await pid()).toBe(before);
    expect(await look()).toEqual([]);
    expect(await preview()).toEqual(clean);
    await until("the login back to work", 20, async () => (await banner()) === "through");
    expect((await nas.run("systemctl is-enabled ssh-tunnel-nas ssh-tunnel-nas-watchdog.timer")).stdout).toBe(
      "enabled\nenabled",
    );
  });

  it.each(others)("on %s is found and repaired: %s", async (...change) => {
    await (change[0] === "gate" ? gate : nas).run(change[1]);
    const expected = found(change).sort();
    expect(await look()).toEqual(expected);
    await stack.up();
    expect(await look()).toEqual([]);
    await until("the login back to work", 20, async () => (await banner()) === "through");
  });

  it("of one thing is an update of its stage alone", async () => {
    await gate.run(`chmod 600 ${dropIn}`);
    expect(await preview()).toEqual({
      updates: ["update gate-drift", "update gate-server-change", "update gate-server-confirm"],
      warnings: [`${dropIn}: mode 600 instead of 644 (${server})`],
    });
    await stack.up();
    expect(await preview()).toEqual(clean);
  });

  it("of the tools is found, and everything on that host runs again", async () => {
    await nas.run("for tool in /opt/ssh-reverse-tunnel/*/lib/library.sh; do echo >>$tool; done");
    const { updates, warnings } = await preview();
    expect(warnings).toEqual([
      "the tools of this project are missing or changed, so nothing else can be looked at and everything runs again there",
    ]);
    expect(updates).toEqual(
      expect.arrayContaining(["update nas-tools-script", "update nas-prepare", "update nas-start"]),
    );
    await stack.up();
    expect(await preview()).toEqual(clean);
  });

  it("stays planned if its repair has failed, even if the thing is as it was", async () => {
    const { stdout } = await gate.run(`cat ${dropIn}`);
    await gate.run(`echo '# mine' >>${dropIn}; echo 'Nonsense yes' >/etc/ssh/sshd_config.d/99-mistake.conf`);
    expect(await failedUp(stack)).toContain("has an error already");
    await gate.run(`rm /etc/ssh/sshd_config.d/99-mistake.conf; cat >${dropIn}`, { input: `${stdout}\n` });
    expect(await preview()).toEqual({
      updates: ["update gate-server-change", "update gate-server-confirm"],
      warnings: [],
    });
    await stack.up();
    expect(await preview()).toEqual(clean);
  });

  it("is unknown on a host that does not answer, whose plan stays as it is", async () => {
    await gate.run(`chmod 600 ${dropIn}`);
    await nas.cutLink();
    onTestFinished(() => nas.restoreLink());
    events = [];
    const { diagnostics, changes: counts } = await stack.preview();
    expect(diagnostics.join("\n")).toMatch(/nas \(\S+\) cannot be reached: .*; its drift is unknown/);
    expect(counts.update).toBe(3);
    await nas.restoreLink();
    await stack.up();
    expect(await preview()).toEqual(clean);
  });

  it("is not looked for without the setting, and nothing of it stays in the state or on the hosts", async () => {
    await stack.setConfig({ drift: undefined });
    await stack.up();
    expect(JSON.stringify(await stack.export())).not.toMatch(/DRIFT|index:Stash/);
    for (const host of [gate, nas]) {
      const { stdout } = await host.run(
        "cat /var/lib/ssh-reverse-tunnel/*/*; ls /opt/ssh-reverse-tunnel/*/lib",
      );
      expect(stdout).not.toMatch(/^noted|drift/m);
    }
    await gate.run(`chmod 600 ${dropIn}`);
    expect(await preview()).toEqual(clean);
  });

  it("leaves nothing behind on destroy", async () => {
    await stack.setConfig({ drift: true });
    await stack.up();
    await stack.destroy();
    for (const host of [gate, nas]) {
      expect(
        (
          await host.run(
            "ls -d /var/lib/ssh-reverse-tunnel /opt/ssh-reverse-tunnel /run/ssh-reverse-tunnel*",
            { allowFailure: true },
          )
        ).stdout,
      ).toBe("");
    }
  });
});
