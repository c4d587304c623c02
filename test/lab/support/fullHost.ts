import type { Host } from "../../../lab/host.ts";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

/**
 * Configures a host so that every file that may be edited is difficult: no final newline, CRLF, unusual modes and
 * owners, old times, extended attributes, ACLs, links, and things with the same names as ours.
 *
 * Its accounts: root, admin and alice of every host; bob with an empty ~/.ssh; carol without one.
 */
export async function fillHost(host: Host): Promise<void> {
  await host.run(FILL);
}

const FILL = `set -e
  useradd --create-home --shell /bin/bash --password '*' bob
  useradd --create-home --shell /bin/bash --password '*' carol
  install -d -m 755 -o bob -g bob /home/bob/.ssh
  groupadd --system ssh-tunnel

  printf '%s\\n# no newline at the end of this line' '${KEY} somebody' >>/root/.ssh/authorized_keys
  chmod 640 /root/.ssh/authorized_keys
  mkdir /root/dotfiles
  printf '# mine\\nHost *\\n    ForwardAgent no' >/root/dotfiles/ssh_config
  ln -s ../dotfiles/ssh_config /root/.ssh/config
  printf 'old.example ${KEY}' >/root/.ssh/known_hosts

  printf '%s\\r\\n%s\\r\\n' '# from Windows' '${KEY} somebody' >>/home/alice/.ssh/authorized_keys
  chown alice:alice /home/alice/.ssh/authorized_keys
  chmod 644 /home/alice/.ssh/authorized_keys
  printf 'Host *\\r\\n    ForwardAgent no\\r\\n' >/home/alice/.ssh/config
  mkdir /home/alice/.ssh/ssh-reverse-tunnel
  echo 'what I know of tunnels' >/home/alice/.ssh/ssh-reverse-tunnel/notes
  usermod --append --groups users alice
  chown -R alice:users /home/alice/.ssh/config /home/alice/.ssh/ssh-reverse-tunnel
  chmod 640 /home/alice/.ssh/config

  printf 'AllowUsers root admin alice\\n' >/etc/ssh/sshd_config.d/00-a.conf
  printf 'PermitRootLogin prohibit-password\\r\\n# sorts after ours\\n' >/etc/ssh/sshd_config.d/50-own.conf
  printf '\\nMatch User nobody\\n    PermitTTY no\\n# no newline here either' >>/etc/ssh/sshd_config
  chmod 600 /etc/ssh/sshd_config
  mkdir /etc/ssh/ssh-reverse-tunnel
  echo 'keys of somebody else' >/etc/ssh/ssh-reverse-tunnel/other.keys

  cp /usr/lib/firewalld/zones/public.xml /etc/firewalld/zones/public.xml.old
  sed 's|<forward/>|<!-- mine --><service   name="http" />\\n\\n<forward/>|' /etc/firewalld/zones/public.xml.old >/etc/firewalld/zones/public.xml
  chmod 600 /etc/firewalld/zones/public.xml

  python3 - <<'END'
import os, struct
# user:alice:r--, beside the owner, the group, the mask and the others
acl = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, perm, id)
    for tag, perm, id in ((1, 6, 2**32 - 1), (2, 4, 1001), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1))
)
for path in "/root/.ssh/authorized_keys", "/root/dotfiles/ssh_config", "/etc/ssh/sshd_config", "/home/alice/.ssh/config":
    os.setxattr(path, "user.note", b"mine")
    os.setxattr(path, "system.posix_acl_access", acl)
END

  printf '[Service]\\nExecStart=/bin/busybox httpd -f -p 127.0.0.1:8080 -h /usr/share\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/ssh-tunnel-own.service
  systemctl enable --quiet --now ssh-tunnel-own
  mkdir -p /opt/ssh-reverse-tunnel/cleanup-s/bin /opt/ssh-reverse-tunnel/ssh-tunnel-x
  echo mine >/opt/ssh-reverse-tunnel/cleanup-s/bin/own
  echo mine >/opt/ssh-reverse-tunnel/ssh-tunnel-x/own
  touch -d '2020-02-02 02:02:02.123456789' /root/.ssh/* /root/dotfiles/* /home/*/.ssh/* /etc/ssh/sshd_config /etc/ssh/*/* /etc/firewalld/zones/*
  sshd -t
  systemctl restart ssh`;
