#!/bin/sh
# Makes the lab's Debian tree one that boots by itself, as a guest of QEMU, and enforces SELinux. Runs once, inside the
# tree, after root.sh.
set -eu

printf 'SELINUX=enforcing\nSELINUXTYPE=default\n' >/etc/selinux/config
echo '/dev/vda / ext4 errors=remount-ro 0 0' >/etc/fstab
# Without one, systemd would take every guest's first boot for the machine's first, and enable all units. They share it.
echo 5e11a0c5e11a0c5e11a0c5e11a0c5e11 >/etc/machine-id
ln -sf /dev/null /etc/systemd/system/serial-getty@ttyS0.service

cat >/etc/systemd/system/lab-identity.service <<EOT
[Unit]
Description=The lab gives this guest its identity
Before=network.target network-online.target systemd-user-sessions.service ssh.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/lab-identity
TimeoutStartSec=infinity
StandardOutput=journal+console
StandardError=journal+console

[Install]
WantedBy=multi-user.target
EOT
systemctl enable --quiet lab-identity.service
