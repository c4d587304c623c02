import { assertValid, oneLine } from "./checks.ts";
import { inputError } from "../settings/inputError.ts";

/** Text of a unit file: sections in their order, each with its lines. systemd.unit(5). */
function renderUnit(sections: Record<string, string[]>, comments: string[] = []): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    ...comments.map((comment) => `# ${comment}`),
    ...Object.entries(sections).flatMap(([name, lines]) => ["", `[${name}]`, ...lines]),
  ]
    .map(unitLine)
    .join("\n");
}

/** A line of a unit file; systemd.syntax(7) joins one that ends with a backslash with the next. */
function unitLine(line: string): string {
  if (line.endsWith("\\")) {
    throw inputError(
      `${JSON.stringify(line)} must not end with a backslash, which would take the next line along`,
    );
  }
  return oneLine(line);
}

/** Text of a directive that replaces `%` specifiers, without any. */
function literal(text: string): string {
  return text.replaceAll("%", "%%");
}

/** ExecStart: each part of the command is one argument of the program; "-R …" is two. */
function execStart(command: string[]): string {
  assertValid("path", command[0] ?? "");
  return `ExecStart=${command.map((part) => words(part)).join(" ")}`;
}

const words = (part: string) => (part.startsWith("-R ") ? `-R ${word(part.slice(3))}` : word(part));

const word = (text: string) => assertValid("unitWord", text);

/** What each service of ours gives up: it only speaks to the network. systemd.exec(5). */
const sandbox = [
  "NoNewPrivileges=yes",
  "CapabilityBoundingSet=",
  "AmbientCapabilities=",
  "ProtectSystem=strict",
  "PrivateTmp=yes",
  "PrivateDevices=yes",
  "DevicePolicy=closed",
  "ProtectProc=invisible",
  "ProtectClock=yes",
  "ProtectHostname=yes",
  "ProtectKernelLogs=yes",
  "ProtectKernelModules=yes",
  "ProtectKernelTunables=yes",
  "ProtectControlGroups=yes",
  "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
  "RestrictNamespaces=yes",
  "RestrictRealtime=yes",
  "RestrictSUIDSGID=yes",
  "RemoveIPC=yes",
  "LockPersonality=yes",
  "MemoryDenyWriteExecute=yes",
  "SystemCallArchitectures=native",
  "SystemCallFilter=@system-service",
  "SystemCallFilter=~@privileged @resources",
  // busybox, which may be /bin/sh, begins with becoming who it is already; nobody else can it become without capabilities.
  "SystemCallFilter=@setuid",
  "UMask=0077",
];

/** The tunnel: started at boot, restarted for ever. */
export function renderTunnelUnit(args: {
  description: string;
  account: string;
  runtimeDirectory: string;
  command: string[];
  restartSec: number;
  /** Another text restarts the tunnel, for example since its key or its client configuration changed. */
  fingerprint: string;
  /**
   * Whether the account is one that others use, too: its home may be under /home or /root, which the sandbox otherwise
   * hides, and what it can write below /run has a bound. A full /run would keep systemd from reading its units.
   */
  needsHome: boolean;
}): string {
  const folder = `/run/${word(args.runtimeDirectory)}`;
  return renderUnit(
    {
      Unit: [
        `Description=${literal(args.description)}`,
        "Documentation=man:ssh(1)",
        "Wants=network-online.target",
        "After=network-online.target",
        // systemd's own limit, 5 starts in 10 s, would stop the tunnel for good.
        "StartLimitIntervalSec=0",
      ],
      Service: [
        "Type=exec",
        `User=${assertValid("account", args.account)}`,
        `RuntimeDirectory=${word(args.runtimeDirectory)}`,
        "RuntimeDirectoryMode=0700",
        // How long it has been down is remembered from one attempt to the next.
        "RuntimeDirectoryPreserve=restart",
        // systemd gives it to the account. Even this begins in a mount namespace of its own. It stays where the tunnel is stopped; removing the unit takes it away (units.sh).
        ...(args.needsHome
          ? [
              `ExecStartPre=+/bin/sh -c 'exec nsenter -t 1 -m sh -c "mountpoint -q ${folder} || exec mount -t tmpfs -o size=1m,nr_inodes=64,mode=0700,nosuid,nodev,noexec tmpfs ${folder}"'`,
            ]
          : []),
        `WorkingDirectory=${folder}`,
        execStart(args.command),
        // Somebody who stops it does not want to wait when they start it again; $MAINPID is empty where it ended by itself.
        `ExecStop=/bin/sh -c '[ -z "$MAINPID" ] || rm -f down-since'`,
        "Restart=always",
        `RestartSec=${assertValid("seconds", args.restartSec)}`,
        "TimeoutStopSec=5",
        // A public host in somebody else's hands can have it print lines, a few at each attempt and one for each connection.
        "SyslogLevelPrefix=no",
        "LogRateLimitIntervalSec=30",
        "LogRateLimitBurst=200",
        `ProtectHome=${args.needsHome ? "read-only" : "yes"}`,
        ...sandbox,
        // The kernel tells of changes of the network by it; ip(8) begins with giving up all capabilities.
        "RestrictAddressFamilies=AF_NETLINK",
        "SystemCallFilter=capset",
      ],
      Install: ["WantedBy=multi-user.target"],
    },
    [`key: ${args.fingerprint}`],
  );
}

/** A check that a timer starts. It begins as root, which keeps what others find: see shell/programs/state.sh. */
export function renderCheckUnit(args: {
  description: string;
  /** Its variables: `NAME=value`. */
  environment: string[];
  /** A folder below /run that outlives the check, for what it keeps. */
  runtimeDirectory: string;
  /** Another folder that it may write in, where it is there. */
  writable?: string;
  command: string[];
  needsHome: boolean;
}): string {
  return renderUnit({
    Unit: [
      `Description=${literal(args.description)}`,
      // Somebody who starts it by hand a few times would end it for good: a timer does not come back after that limit.
      "StartLimitIntervalSec=0",
    ],
    Service: [
      "Type=oneshot",
      // Without "User=root", which means the same: with it, systemd 257 starts a sandbox that cannot become the account.
      `RuntimeDirectory=${word(args.runtimeDirectory)}`,
      "RuntimeDirectoryPreserve=yes",
      ...(args.writable ? [`ReadWritePaths=-${word(args.writable)}`] : []),
      `Environment=${args.environment.join(" ")}`,
      execStart(args.command),
      "TimeoutStartSec=70",
      `ProtectHome=${args.needsHome ? "read-only" : "yes"}`,
      // A start a minute would fill the journal with "Starting" and "Finished"; what the check says stays.
      "LogLevelMax=notice",
      ...sandbox,
      // To become who looks, and for nothing else; setpriv(1) ends with setting its capabilities.
      "CapabilityBoundingSet=CAP_SETUID CAP_SETGID",
      "SystemCallFilter=capset",
    ],
  });
}

/** The timer of a check. */
export function renderTimer(args: {
  description: string;
  service: string;
  /** Seconds between two checks. @default as others say: {@link renderPace} */
  intervalSec?: number;
}): string {
  return renderUnit({
    Unit: [`Description=${literal(args.description)}`],
    Timer: [
      `Unit=${word(args.service)}`,
      // Soon, so that it does not take an interval to know how a tunnel is; it takes a moment to come up.
      "OnActiveSec=5",
      ...(args.intervalSec === undefined ? [] : [pace(args.intervalSec)]),
      "AccuracySec=1s",
    ],
    Install: ["WantedBy=timers.target"],
  });
}

/** A drop-in of a timer that several need: it runs as often as the most impatient of them wants, systemd.timer(5). */
export function renderPace(intervalSec: number): string {
  return renderUnit({ Timer: [pace(intervalSec)] });
}

const pace = (intervalSec: number) => `OnUnitActiveSec=${assertValid("number", intervalSec)}`;
