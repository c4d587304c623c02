import { describe, expect, test } from "vitest";
import {
  forNamespaces,
  renderCheckUnit,
  renderPace,
  renderTimer,
  renderTunnelUnit,
} from "../../components/render/systemdUnits.ts";

const sandbox = `NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=@setuid
UMask=0077`;

const tunnel = {
  description: "Reverse SSH tunnel nas",
  account: "tunnel-nas",
  runtimeDirectory: "ssh-tunnel-nas",
  command: ["/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/tunnel", "gate", "-R 127.0.0.1:2222:127.0.0.1:22"],
  restartSec: 1,
  fingerprint: "0123456789abcdef",
  needsHome: false,
};

const check = {
  description: "Check of the reverse SSH tunnel nas",
  environment: ["CHECK_INTERVAL=15", "ACCOUNT=tunnel-nas"],
  runtimeDirectory: "ssh-tunnel-nas-watchdog",
  command: ["/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/watchdog", "repair"],
  needsHome: false,
};

describe("the tunnel's unit", () => {
  test("starts at boot, always restarts, and can only use the network", () => {
    expect(renderTunnelUnit(tunnel)).toBe(
      `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.
# key: 0123456789abcdef

[Unit]
Description=Reverse SSH tunnel nas
Documentation=man:ssh(1)
After=network.target nss-user-lookup.target
StartLimitIntervalSec=0

[Service]
Type=exec
User=tunnel-nas
RuntimeDirectory=ssh-tunnel-nas
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=restart
WorkingDirectory=/run/ssh-tunnel-nas
ExecStart=/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/tunnel gate -R 127.0.0.1:2222:127.0.0.1:22
ExecStop=/bin/sh -c '[ -z "$MAINPID" ] || rm -f down-since'
Restart=always
RestartSec=1
TimeoutStopSec=5
SyslogLevelPrefix=no
LogRateLimitIntervalSec=30
LogRateLimitBurst=200
ProtectHome=yes
${sandbox}
RestrictAddressFamilies=AF_NETLINK
SystemCallFilter=capset

[Install]
WantedBy=multi-user.target`,
    );
  });

  test("can read homes if the key is in one, but cannot write there", () => {
    expect(renderTunnelUnit({ ...tunnel, needsHome: true }).split("\n")).toContain("ProtectHome=read-only");
  });

  test("limits an account that others use to 1 MB and 64 files below /run", () => {
    const mount = `ExecStartPre=+/bin/sh -c 'exec nsenter -t 1 -m sh -c "mountpoint -q /run/ssh-tunnel-nas || exec mount -t tmpfs -o size=1m,nr_inodes=64,mode=0700,nosuid,nodev,noexec tmpfs /run/ssh-tunnel-nas"'`;
    expect(renderTunnelUnit({ ...tunnel, needsHome: true }).split("\n")).toContain(mount);
    expect(renderTunnelUnit(tunnel)).not.toContain("mount");
  });
});

describe("a check's unit", () => {
  test("has a folder that outlives it and that every user can read", () => {
    expect(renderCheckUnit(check)).toBe(
      `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.

[Unit]
Description=Check of the reverse SSH tunnel nas
StartLimitIntervalSec=0

[Service]
Type=oneshot
RuntimeDirectory=ssh-tunnel-nas-watchdog
RuntimeDirectoryPreserve=yes
Environment=CHECK_INTERVAL=15 ACCOUNT=tunnel-nas
ExecStart=/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin/watchdog repair
TimeoutStartSec=70
ProtectHome=yes
LogLevelMax=notice
${sandbox}
CapabilityBoundingSet=CAP_SETUID CAP_SETGID
SystemCallFilter=capset`,
    );
  });

  test("may read homes and write to one more folder if it needs to", () => {
    const lines = renderCheckUnit({ ...check, needsHome: true, writable: "/run/ssh-tunnel-nas" }).split("\n");
    expect(lines).toContain("ProtectHome=read-only");
    expect(lines).toContain("ReadWritePaths=-/run/ssh-tunnel-nas");
  });
});

describe("without namespaces, which an unprivileged container may not allow,", () => {
  const units = { tunnel: renderTunnelUnit({ ...tunnel, needsHome: true }), check: renderCheckUnit(check) };

  test.each(Object.entries(units))("the %s's unit keeps all else that its service gives up", (_, unit) => {
    const lines = forNamespaces(unit, { namespaces: false }).split("\n");
    const gone = unit.split("\n").filter((line) => !lines.includes(line));
    expect(gone.map((line) => line.split("=")[0]).sort()).toEqual([
      "PrivateDevices",
      "PrivateTmp",
      "ProtectControlGroups",
      "ProtectHome",
      "ProtectHostname",
      "ProtectKernelLogs",
      "ProtectKernelModules",
      "ProtectKernelTunables",
      "ProtectProc",
      "ProtectSystem",
    ]);
    expect(lines).toEqual(
      expect.arrayContaining([
        "NoNewPrivileges=yes",
        "DevicePolicy=closed",
        "SystemCallFilter=@system-service",
      ]),
    );
  });

  test("a check's unit needs no permission to write elsewhere, since it can write everywhere", () => {
    const unit = renderCheckUnit({ ...check, writable: "/run/ssh-tunnel-nas" });
    expect(forNamespaces(unit, { namespaces: false })).not.toContain("ReadWritePaths");
  });

  test("is not the default", () => {
    expect(forNamespaces(units.tunnel, {})).toBe(units.tunnel);
  });
});

test("a check's timer begins soon after it is started and runs at its interval after each check", () => {
  expect(
    renderTimer({ description: "Check", service: "ssh-tunnel-nas-watchdog.service", intervalSec: 15 }),
  ).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.

[Unit]
Description=Check

[Timer]
Unit=ssh-tunnel-nas-watchdog.service
OnActiveSec=5
OnUnitActiveSec=15
AccuracySec=1s

[Install]
WantedBy=timers.target`,
  );
});

test("a timer that several tunnels share has the interval of each in a drop-in", () => {
  expect(renderTimer({ description: "Check", service: "x.service" })).not.toContain("OnUnitActiveSec");
  expect(renderPace(30)).toBe(
    `# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.

[Timer]
OnUnitActiveSec=30`,
  );
});

test("a unit cannot have a value of two lines", () => {
  const twoLines = "x\nExecStart=/bin/x";
  expect(() => renderTunnelUnit({ ...tunnel, fingerprint: twoLines })).toThrow("must be one line");
  expect(() => renderCheckUnit({ ...check, description: twoLines })).toThrow("must be one line");
  expect(() => renderCheckUnit({ ...check, description: "x\\" })).toThrow("must not end with a backslash");
});

test("a unit's description appears as it was given", () => {
  const text = renderTimer({ description: "100 % of %n", service: "x.service", intervalSec: 5 });
  expect(text.split("\n")).toContain("Description=100 %% of %%n");
});

describe("text that systemd would interpret is refused:", () => {
  const words = ["x\nExecStart=/bin/x", "%n", "${HOME}", "a;b", '"a', "'a", "a\\", "", "ä", "a\tb", "\u2028"];

  test.each([...words, "a b"])("%j in a command line", (word) => {
    const command = ["/bin/x", word];
    expect(() => renderTunnelUnit({ ...tunnel, command })).toThrow("must be one word");
    expect(() => renderCheckUnit({ ...check, command })).toThrow("must be one word");
    expect(() => renderTunnelUnit({ ...tunnel, command: ["/bin/x", `-R ${word}`] })).toThrow(
      "must be one word",
    );
  });

  test.each(["-/bin/x", "@/bin/x", "+/bin/x", ":/bin/x", "x"])("%j as its program", (program) => {
    expect(() => renderCheckUnit({ ...check, command: [program] })).toThrow("must be an absolute path");
  });

  test.each([...words, "a b", "[x]", "a:b"])("%j for an account", (account) => {
    expect(() => renderTunnelUnit({ ...tunnel, account })).toThrow("must be the name of an account");
  });

  test.each([...words, "a b"])("%j for a folder or a service", (name) => {
    expect(() => renderTunnelUnit({ ...tunnel, runtimeDirectory: name })).toThrow("must be one word");
    expect(() => renderCheckUnit({ ...check, runtimeDirectory: name })).toThrow("must be one word");
    expect(() => renderCheckUnit({ ...check, writable: name || " " })).toThrow("must be one word");
    expect(() => renderTimer({ description: "x", service: name, intervalSec: 5 })).toThrow(
      "must be one word",
    );
  });
});
