import { readProgram } from "../../../components/remote/scriptFiles.ts";
import { renderSshdDropIn } from "../../../components/render/sshdDropIn.ts";
import { partText } from "../../../tools/parseCommand.ts";

/** A trial in which the version of some files can be read from their content. */
export interface Trial {
  name: string;
  script: string;
  values: (version: string) => Record<string, string>;
  /** Prints the version of each file of the change, and reports incomplete ones. */
  look: string;
}

export const sshd: Trial = {
  name: "sshd",
  script: "sshServer",
  values: (version) => ({
    DROP_IN: renderSshdDropIn({
      owner: "owner",
      clientAliveIntervalSec: Number(version),
      clientAliveCountMax: 3,
    }),
    ACCOUNTS: "tunnel-*",
    GROUP: "ssh-tunnel",
    ADMIN: "root",
    EVICT_STALE: "/opt/ssh-reverse-tunnel/ssh-reverse-tunnel/evict-stale",
    EVICT_STALE_TEXT: "#!/bin/sh",
  }),
  look: `sshd -t 2>&1
    sed -n 's/.*ClientAliveInterval //p' /etc/ssh/sshd_config.d/00-owner.conf; tail -n 1 /etc/ssh/sshd_config.d/00-owner.conf | grep -q Unused || echo torn`,
};

const units = "/etc/systemd/system";
export const tunnel: Trial = {
  name: "tunnel",
  script: "tunnelService",
  values: (version) => ({
    ACCOUNT: "alice",
    FILE: "nas",
    ALIAS: "ssh-tunnel-nas",
    FORWARDS: "",
    ENTRY: `Host nas\n    ServerAliveInterval ${version}\n#`,
    KEYS: "gate ssh-ed25519 AAAA",
    PROGRAMS: "/opt/ssh-reverse-tunnel/ssh-tunnel-nas/bin",
    TUNNEL_PROGRAM: "#!/bin/sh",
    NETWORK_PROGRAM: "#!/bin/sh",
    WATCHDOG_PROGRAM: "#!/bin/sh\nexit 0",
    SERVICE: "ssh-tunnel-nas",
    SERVICE_UNIT: `[Service]\nType=exec\nExecStart=/bin/sleep infinity\nRestartSec=${version}\n[Install]\nWantedBy=multi-user.target\n#`,
    CHECK_UNIT: "[Service]\nExecStart=/bin/true\n#",
    TIMER_UNIT: "[Timer]\nOnBootSec=1h\n[Install]\nWantedBy=timers.target\n#",
    SECONDS_TO_WAIT: "2",
    STATUS_PROGRAM: "#!/bin/sh",
    METRICS: "",
    METRICS_FOLDER: "",
  }),
  look: `{ sed -n 's/.*ServerAliveInterval //p' ~alice/.ssh/ssh-reverse-tunnel/nas.conf; sed -n 's/^RestartSec=//p' ${units}/ssh-tunnel-nas.service; } | uniq
    for file in ~alice/.ssh/ssh-reverse-tunnel/nas.conf ${units}/ssh-tunnel-nas*; do [ "$(tail -n 1 "$file")" = '#' ] || echo "torn $file"; done
    [ "$(stat -c '%U %a' ~alice/.ssh/ssh-reverse-tunnel/nas.conf)" = 'alice 600' ] || echo "not alice's"`,
};

/** Not a trial, but a shared file: what others have in it must survive as well. */
export const key: Trial = {
  name: "key",
  script: "authorizedKey",
  values: (version) => ({
    ACCOUNT: "alice",
    LINE: `restrict,permitopen="127.0.0.1:${version}" ssh-ed25519 AAAAours ssh-reverse-tunnel:owner/key`,
    MARKER: "ssh-reverse-tunnel:owner/key",
    FILE: "",
    PERMITS: "",
    TARGET_HOST: "",
    TARGET_PORT: "",
  }),
  look: `file=~alice/.ssh/authorized_keys
    sed -n 's/.*permitopen="127.0.0.1:\\([0-9]*\\)".*/\\1/p' "$file"; grep -c ours "$file" | grep -vx 1
    [ "$(head -n 2 "$file")" = "$(printf 'ssh-ed25519 AAAAhers her own\\n# no newline')" ] || echo torn
    [ "$(stat -c '%U %a' "$file")" = 'alice 640' ] || echo "not alice's"`,
};

export const scriptOf = ({ name, script, values }: Trial, version: string, confirm: "yes" | "no") =>
  partText(script, {
    ...{ HOST: "gate", OWNER: "owner", STACK_ID: "", RESOURCE: name, WHAT: name, REVISION: "" },
    ...{ TRIAL: name, TRIAL_SECONDS: "60", ROLL_BACK: readProgram("rollBack"), CONFIRM: confirm },
    ...values(version),
  });

/** What is left of a trial, and incomplete records. */
export const rest = `ls -d /var/lib/*rollback* ${units}/*rollback* ${units}/*/*rollback* 2>/dev/null
  find /var/lib/ssh-reverse-tunnel -type f ! -name '*.new' -exec sh -c '[ -s "$1" ] || echo "torn $1"' sh {} \\;`;
