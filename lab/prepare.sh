#!/bin/sh
# Gives one host its identity before its first boot. Runs in a mount namespace of its own. From the environment: HOST,
# LAB_FOLDER, IMAGE, ADMIN_KEY; standard input becomes /etc/hosts.
set -eu
umask 022

main() {
  identity=$(dirname "$0")/identity.sh
  cd "$LAB_FOLDER"
  mkdir -p upper work root
  mount -t overlay lab -o "lowerdir=$IMAGE,upperdir=upper,workdir=work" root
  TREE=root sh "$identity"
  tr -d - </proc/sys/kernel/random/uuid >root/etc/machine-id
}

main
