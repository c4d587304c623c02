#!/bin/sh
# Turns a fresh Debian tree into the lab's image. Runs once, inside the tree, at the end of the build.
set -eu

# Every host gets its own identity before its first boot.
rm -f /etc/ssh/ssh_host_* /etc/hostname /etc/hosts /etc/resolv.conf /var/lib/dbus/machine-id
: >/etc/machine-id

# Both firewalls are there for the tests to start; none runs by itself.
systemctl disable --quiet firewalld.service ufw.service 2>/dev/null

# What has no use in a container, or would wake up in the middle of a measurement.
for unit in \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
  fstrim.timer man-db.timer logrotate.timer systemd-tmpfiles-clean.timer console-getty.service \
  getty@tty1.service getty.target systemd-pstore.service systemd-firstboot.service \
  systemd-network-generator.service systemd-networkd-wait-online.service systemd-binfmt.service \
  sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-modules-load.service selinux-autorelabel-mark.service; do
  ln -sf /dev/null "/etc/systemd/system/$unit"
done

mkdir -p /etc/systemd/journald.conf.d /var/log/journal
printf '[Journal]\nStorage=persistent\n' >/etc/systemd/journald.conf.d/lab.conf

# "*" as the password: no login by password, and yet not a locked account.
useradd --create-home --shell /bin/bash --password '*' admin
useradd --create-home --shell /bin/bash --password '*' alice
# Without !admin_flag, sudo would leave a file in the home folder of who uses it first.
printf 'Defaults !admin_flag\nadmin ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/admin
chmod 0440 /etc/sudoers.d/admin
for home in /root /home/admin /home/alice; do
  mkdir -p "$home/.ssh"
  chmod 0700 "$home/.ssh"
  chown --reference="$home" "$home/.ssh"
done

# How the image reached this machine is nobody's business inside it.
rm -f /etc/apt/apt.conf.d/99mmdebstrap
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log /var/log/alternatives.log
