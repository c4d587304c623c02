import { assertValid, oneLine } from "./checks.ts";
import { inputError } from "../settings/inputError.ts";

/** Text of a unit file: sections in order, each with its lines. systemd.unit(5). */
function renderUnit(sections: Record<string, string[]>, comments: string[] = []): string {
  return [
    "# Managed by ssh-reverse-tunnel; the next 'pulumi up' overwrites changes.",
    ...comments.map((comment) => `# ${comment}`),
    ...Object.entries(sections).flatMap(([name, lines]) => ["", `[${name}]`, ...lines]),
  ]
    .map(unitLine)
    .join("\n");
}

/** A line of a unit file; systemd.syntax(7) joins a line that ends with a backslash to the next one. */
function unitLine(line: string): string {
  if (line.endsWith("\\")) {
    throw inputError(
      `${JSON.stringify(line)} must not end with a backslash, which would take the next line along`,
    );
  }
  return oneLine(line);
}

/** Text without specifiers, for a directive that expands `%`. */
function literal(text: string): string {
  return text.replaceAll("%", "%%");
}

/** ExecStart: each argument of the program is one part of the command; "-R …" is two. */
function execStart(command: string[]): string {
  assertValid("path", command[0] ?? "");
  return `ExecStart=${command.map((part) => words(part)).join(" ")}`;
}

const words = (part: string) => (part.startsWith("-R ") ? `-R ${word(part.slice(3))}` : word(part));

const word = (text: string) => assertValid("unitWord", text);

/** What each of our services gives up: it only uses the network. systemd.exec(5). */
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
  // busybox, which may be /bin/sh, starts by switching to the user that it already is; without capabilities, it cannot
  // become any other user.
  "SystemCallFilter=@setuid",
  "UMask=0077",
];

/** The tunnel: started at boot, and always restarted. */
export function renderTunnelUnit(args: {
  description: string;
  account: string;
  runtimeDirectory: string;
  command: string[];
  restartSec: number;
  /** Changes with the tunnel's key, so that a changed key is tried. */
  fingerprint: string;
  /**
   * Whether others use the account, too. Its home may then be under /home or /root, which the sandbox otherwise hides,
   * and what it can write below /run is limited: a full /run would keep systemd from reading its units.
   */
  needsHome: boolean;
  /** Its variables: `NAME=value`. @default none */
  environment?: string[];
}): string {
  const folder = `/run/${word(args.runtimeDirectory)}`;
  return renderUnit(
    {
      Unit: [
        `Description=${literal(args.description)}`,
        "Documentation=man:ssh(1)",
        // Not network-online.target, which waits two minutes for a network port without a cable. The tunnel starts again
        // until it connects.
        "After=network.target nss-user-lookup.target",
        // systemd's default limit, 5 starts in 10 s, would stop the tunnel permanently.
        "StartLimitIntervalSec=0",
      ],
      Service: [
        "Type=exec",
        `User=${assertValid("account", args.account)}`,
        `RuntimeDirectory=${word(args.runtimeDirectory)}`,
        "RuntimeDirectoryMode=0700",
        // The time since it went down is remembered from one attempt to the next.
        "RuntimeDirectoryPreserve=restart",
        // systemd gives the folder to the account. Even this needs a mount namespace. The folder stays when the tunnel
        // is stopped; removing the unit removes it (units.sh).
        ...(args.needsHome
          ? [
              `ExecStartPre=+/bin/sh -c 'exec nsenter -t 1 -m sh -c "mountpoint -q ${folder} || exec mount -t tmpfs -o size=1m,nr_inodes=64,mode=0700,nosuid,nodev,noexec tmpfs ${folder}"'`,
            ]
          : []),
        `WorkingDirectory=${folder}`,
        ...(args.environment ? [`Environment=${args.environment.join(" ")}`] : []),
        execStart(args.command),
        // A person who stops the tunnel does not want to wait when they start it again; $MAINPID is empty if it ended
        // by itself.
        `ExecStop=/bin/sh -c '[ -z "$MAINPID" ] || rm -f down-since'`,
        "Restart=always",
        `RestartSec=${assertValid("seconds", args.restartSec)}`,
        "TimeoutStopSec=5",
        // A compromised public host can make it print lines: a few at each attempt, and one for each connection.
        "SyslogLevelPrefix=no",
        "LogRateLimitIntervalSec=30",
        "LogRateLimitBurst=200",
        `ProtectHome=${args.needsHome ? "read-only" : "yes"}`,
        ...sandbox,
        // The kernel uses it to report network changes; ip(8) starts by dropping all capabilities.
        "RestrictAddressFamilies=AF_NETLINK",
        "SystemCallFilter=capset",
      ],
      Install: ["WantedBy=multi-user.target"],
    },
    [`key: ${args.fingerprint}`],
  );
}

/**
 * A check that a timer starts. It starts as root, which stores the results of other users: see shell/programs/state.sh.
 */
export function renderCheckUnit(args: {
  description: string;
  /** Its variables: `NAME=value`. */
  environment: string[];
  /** A folder below /run for what it stores, which outlives the check. */
  runtimeDirectory: string;
  /** Whether it has a folder of the same name below /var/lib, for what must outlive a boot. @default false */
  remembers?: boolean;
  /** Another folder that it may write to, if that exists. */
  writable?: string;
  command: string[];
  needsHome: boolean;
}): string {
  return renderUnit({
    Unit: [
      `Description=${literal(args.description)}`,
      // A few manual starts would stop the check permanently: a timer does not recover from that limit.
      "StartLimitIntervalSec=0",
    ],
    Service: [
      "Type=oneshot",
      // Without "User=root", which is the default: with it, systemd 257 starts a sandbox that cannot switch to the
      // account.
      `RuntimeDirectory=${word(args.runtimeDirectory)}`,
      "RuntimeDirectoryPreserve=yes",
      ...(args.remembers ? [`StateDirectory=${word(args.runtimeDirectory)}`] : []),
      ...(args.writable ? [`ReadWritePaths=-${word(args.writable)}`] : []),
      `Environment=${args.environment.join(" ")}`,
      execStart(args.command),
      "TimeoutStartSec=70",
      `ProtectHome=${args.needsHome ? "read-only" : "yes"}`,
      // A start every minute would fill the journal with "Starting" and "Finished"; the messages of the check stay.
      "LogLevelMax=notice",
      ...sandbox,
      // Only to become the user who runs the check; setpriv(1) sets its capabilities at the end.
      "CapabilityBoundingSet=CAP_SETUID CAP_SETGID",
      "SystemCallFilter=capset",
    ],
  });
}

/** What runs the administrator's command about tunnels that are down or back. */
export function renderNotifyUnit(args: {
  description: string;
  /** @default one that systemd makes for it */
  account?: string | undefined;
  /** A folder below /run, and one below /var/lib, for what it has told. */
  directory: string;
  /** A file of root's, of which it gets a copy. @default none */
  secretFile?: string | undefined;
  command: string[];
}): string {
  return renderUnit({
    Unit: [`Description=${literal(args.description)}`, "StartLimitIntervalSec=0"],
    Service: [
      "Type=oneshot",
      args.account === undefined ? "DynamicUser=yes" : `User=${assertValid("account", args.account)}`,
      `RuntimeDirectory=${word(args.directory)}`,
      "RuntimeDirectoryMode=0700",
      "RuntimeDirectoryPreserve=yes",
      `StateDirectory=${word(args.directory)}`,
      "StateDirectoryMode=0700",
      ...(args.secretFile === undefined ? [] : [`LoadCredential=secret:${word(args.secretFile)}`]),
      execStart(args.command),
      // Something is still to be told. Each command has its own limit, and there may be one for each tunnel.
      "SuccessExitStatus=75",
      "TimeoutStartSec=3600",
      "LogLevelMax=notice",
      "ProtectHome=yes",
      ...sandbox,
    ],
  });
}

/** The timer of a check. */
export function renderTimer(args: {
  description: string;
  service: string;
  /** Seconds between two checks. @default set by drop-ins: {@link renderPace} */
  intervalSec?: number;
}): string {
  return renderUnit({
    Unit: [`Description=${literal(args.description)}`],
    Timer: [
      `Unit=${word(args.service)}`,
      // Soon, so that the state of a tunnel is known before a whole interval has passed; the tunnel needs a moment to
      // come up.
      "OnActiveSec=5",
      ...(args.intervalSec === undefined ? [] : [pace(args.intervalSec)]),
      "AccuracySec=1s",
    ],
    Install: ["WantedBy=timers.target"],
  });
}

/**
 * A drop-in of a timer that several tunnels share: it runs as often as the shortest interval requires,
 * systemd.timer(5).
 */
export function renderPace(intervalSec: number): string {
  return renderUnit({ Timer: [pace(intervalSec)] });
}

const pace = (intervalSec: number) => `OnUnitActiveSec=${assertValid("number", intervalSec)}`;

/** What systemd makes namespaces for: systemd.exec(5). */
const namespaced =
  /^(ProtectSystem|ProtectHome|ProtectProc|ProtectHostname|ProtectKernel\w+|ProtectControlGroups|PrivateTmp|PrivateDevices|ReadWritePaths)=/;

/** A unit as it is on a host whose services may have no namespaces, for example in an unprivileged container. */
export function forNamespaces(
  unit: string,
  { namespaces = true }: { namespaces?: boolean | undefined },
): string {
  return namespaces
    ? unit
    : unit
        .split("\n")
        .filter((line) => !namespaced.test(line))
        .join("\n");
}
