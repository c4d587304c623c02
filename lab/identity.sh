#!/bin/sh
# Writes below the folder TREE who a host is: host keys, name, the names of the others, and the admin's key.
# From the environment: TREE, HOST, ADMIN_KEY; standard input becomes /etc/hosts.
set -eu
umask 022

main() {
  mkdir -p "$TREE/etc/ssh"
  # An RSA key of the usual length takes a second or two, longer than the boot.
  for type in "rsa -b 2048" ecdsa ed25519; do
    # shellcheck disable=SC2086  # the length is an option
    ssh-keygen -q -t $type -N '' -C "root@$HOST" -f "$TREE/etc/ssh/ssh_host_${type%% *}_key" </dev/null
  done
  echo "$HOST" >"$TREE/etc/hostname"
  cat >"$TREE/etc/hosts"
  for home in root home/admin home/alice; do
    keys=$TREE/$home/.ssh/authorized_keys
    mkdir -p "${keys%/*}"
    echo "$ADMIN_KEY" >"$keys"
    chmod 0600 "$keys"
    chown --reference="$TREE/$home" "$keys"
  done
}

main
