#!/bin/sh
# Gives one host its identity before its first boot: host keys, machine id, the admin's key, the names of the others.
# Runs in a mount namespace of its own. From the environment: HOST, LAB_FOLDER, IMAGE, ADMIN_KEY; standard input becomes
# /etc/hosts.
set -eu
umask 022

main() {
  cd "$LAB_FOLDER"
  mkdir -p upper work root
  mount -t overlay lab -o "lowerdir=$IMAGE,upperdir=upper,workdir=work" root
  for type in rsa ecdsa ed25519; do
    ssh-keygen -q -t "$type" -N '' -C "root@$HOST" -f "root/etc/ssh/ssh_host_${type}_key" </dev/null
  done
  echo "$HOST" >root/etc/hostname
  cat >root/etc/hosts
  tr -d - </proc/sys/kernel/random/uuid >root/etc/machine-id
  for home in root home/admin home/alice; do
    keys="root/$home/.ssh/authorized_keys"
    echo "$ADMIN_KEY" >"$keys"
    chmod 0600 "$keys"
    chown --reference="root/$home" "$keys"
  done
}

main
