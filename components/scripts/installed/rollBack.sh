#!/bin/sh
# Puts back what a change on trial has replaced. It lies in the trial's folder, with the files as they were ("1", "2" …,
# listed in "kept") and "undo", what else is to be done.
#   roll-back HOW
#     timer   the time is up
#     boot    the host was switched off in the meantime, and nothing has started yet
#     script  the script that began the trial has found a fault, and holds the lock
#     files   the same, and what runs has not been touched yet
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
how=$1
cd "$(dirname "$0")" || exit 1
here=$PWD
if [ "$how" = timer ]; then
  exec 9</etc
  flock -w 10 9
fi
[ -f kept ] || exit 0 # confirmed while we waited

# put_back COPY FILE — in a folder that an account owns we act as that account, which could place links there.
# shellcheck disable=SC2016
put_back() {
  folder=$(dirname -- "$2")
  new=$folder/.$(basename -- "$2").ssh-reverse-tunnel
  ids=$(stat -c %u:%g -- "$folder" 2>/dev/null) || return 0
  case $ids in
    0:*) as= ;;
    *) as="setpriv --reuid ${ids%:*} --regid ${ids#*:} --init-groups" ;;
  esac
  if [ ! -e "$1" ]; then
    $as rm -f -- "$2" || failed=yes
  elif [ -z "$as" ]; then
    rm -f -- "$new" && cp -a -- "$1" "$new" && mv -f -- "$new" "$2" || failed=yes
  else
    mode=$(stat -c %a -- "$1")
    $as sh -c 'rm -f -- "$1" && umask 077 && cat >"$1" && chmod "$2" "$1" && mv -f -- "$1" "$3"' \
      sh "$new" "$mode" "$2" <"$1" || failed=yes
  fi
  if command -v restorecon >/dev/null 2>&1; then restorecon -- "$2" 2>/dev/null; fi
}

failed=
list=$(cat kept)
while IFS='	' read -r copy file; do
  put_back "$copy" "$file"
done <<EOF
$list
EOF
# On a full disk, for example: nothing of half a rollback becomes active, and systemd tries again.
[ -z "$failed" ] || exit 1
# shellcheck source=/dev/null
. ./undo

at_boot=$(basename "$here")-at-boot.service
wants=/etc/systemd/system/sysinit.target.wants
rm -f -- kept "$wants/$at_boot" "/etc/systemd/system/$at_boot"
[ ! -f wants-is-ours ] || rmdir -- "$wants" 2>/dev/null
case $how in timer | boot) : >"$here.taken-back" ;; esac
rm -rf -- "$here"
