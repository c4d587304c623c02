import type { Suite } from "../../../lab/root.ts";

/** A host as another distribution, or its administrator, would have set it up. */
export interface Kind {
  suite: Suite;
  /** The commands that a fresh host runs first. */
  setUp: string;
}

/** A fresh host of each release. */
export const RELEASES: Record<string, Kind> = {
  bookworm: { suite: "bookworm", setUp: "" },
  trixie: { suite: "trixie", setUp: "" },
  sid: { suite: "sid", setUp: "" },
};

/** As in Ubuntu since 22.10: systemd listens, and starts sshd for the first connection. */
const SOCKET = "systemctl disable --quiet --now ssh.service && systemctl enable --quiet --now ssh.socket";

/** Other variants of a host, by name. */
export const KINDS: Record<string, Kind> = {
  // If systemd listens, sshd's own Port has no effect; nothing must treat it as a lock-out.
  socket: { suite: "bookworm", setUp: `echo 'Port 2200' >/etc/ssh/sshd_config.d/50-port.conf && ${SOCKET}` },
  socket13: { suite: "trixie", setUp: SOCKET },
  // As on RHEL 8: no Include in sshd_config and no folder for drop-ins, the unit is sshd.service, and its reload is
  // only a signal.
  rhel8: {
    suite: "bookworm",
    setUp: `
      cd /etc/ssh && sed -i '/^Include/d' sshd_config && chmod 600 sshd_config && rmdir sshd_config.d
      systemctl disable --quiet --now ssh.service && rm /lib/systemd/system/ssh.*
      cat >/lib/systemd/system/sshd.service <<EOT
[Unit]
Description=OpenSSH server daemon
After=network.target
[Service]
Type=notify
ExecStart=/usr/sbin/sshd -D
ExecReload=/bin/kill -HUP \\$MAINPID
KillMode=process
Restart=on-failure
RestartSec=42s
RuntimeDirectory=sshd
[Install]
WantedBy=multi-user.target
EOT
      systemctl daemon-reload && systemctl enable --quiet --now sshd.service`,
  },
  // cloud-init's own drop-in, and an administrator's whose name sorts before ours.
  cloud: {
    suite: "bookworm",
    setUp: `
      cd /etc/ssh/sshd_config.d && echo 'PasswordAuthentication yes' >50-cloud-init.conf
      cat >00-a.conf <<EOT
AllowUsers root admin alice
AllowTcpForwarding no
DisableForwarding yes
PermitListen none
PermitOpen none
AuthenticationMethods publickey,password publickey
EOT
      sshd -t && systemctl restart ssh`,
  },
  // The minimum of these three; and if PAM does not check accounts, sshd does.
  small: {
    suite: "bookworm",
    setUp: `
      for each in bin/sh bin/awk bin/ip sbin/ip; do ln -sf /bin/busybox /usr/$each; done
      echo 'UsePAM no' >/etc/ssh/sshd_config.d/50-pam.conf && systemctl restart ssh`,
  },
};
