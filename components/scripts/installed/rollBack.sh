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
LOCK_FILE=/run/ssh-reverse-tunnel.lock # as in lib.sh

# Where somebody has the lock and does not give it back, the change must go all the same.
lock() {
  lo_until=$(($(sed 's/\..*//' /proc/uptime) + 10))
  until lo_left=$((lo_until - $(sed 's/\..*//' /proc/uptime))) && [ "$lo_left" -le 0 ]; do
    (umask 077 && true >>"$LOCK_FILE") || return 0
    exec 9<>"$LOCK_FILE"
    flock -w "$lo_left" 9 || return 0
    # Who had it takes the file away.
    [ "$(stat -Lc %d:%i /proc/self/fd/9)" = "$(stat -c %d:%i -- "$LOCK_FILE" 2>/dev/null)" ] || continue
    trap 'rm -f -- "$LOCK_FILE"' EXIT
    : >"$LOCK_FILE"
    printf '%s\t0\t%s\trollback\ta rollback\n' "$$" "$(basename "$here")" >&9
    return 0
  done
}

[ "$how" != timer ] || lock
[ -f kept ] || exit 0 # confirmed while we waited

complain() {
  echo "ssh-reverse-tunnel: $*" >&2
  failed=yes
}

# put_back NUMBER UID:GID PATH — where an account can change a folder on the way, that account does it: root would follow
# its links. After a power cut the file is the old one or the new one, hence the sync.
# shellcheck disable=SC2016,SC2094
put_back() {
  case $2 in
    0:*) as= ;;
    *) as="timeout -s KILL 60 setpriv --reuid ${2%:*} --regid ${2#*:} --clear-groups" ;;
  esac
  new=$(dirname -- "$3")/.$(basename -- "$3").ssh-reverse-tunnel
  if [ ! -e "$1" ]; then
    $as rm -f -- "$3"
  elif [ -z "$as" ]; then
    rm -f -- "$new" && cp -a -- "$1" "$new" && { sync -- "$new" 2>/dev/null || sync; } && mv -fT -- "$new" "$3"
  else
    $as sh -c 'rm -f -- "$1" && umask 077 && cat >"$1" && chmod "$2" "$1" && { sync -- "$1" 2>/dev/null || sync; } && mv -fT -- "$1" "$3"' \
      sh "$new" "$(stat -c %a -- "$1")" "$3" <"$1"
  fi || complain "cannot put $3 back as it was"
  ! command -v restorecon >/dev/null 2>&1 || $as restorecon -- "$3" 2>/dev/null
}

if [ "$(tail -n 1 kept)" != whole ]; then
  echo "ssh-reverse-tunnel: $here/kept is damaged, and nothing was put back; the next 'pulumi up' tries the change once more" >&2
  exit 0
fi
failed=
list=$(sed '$d' kept)
while IFS='	' read -r number ids file; do
  [ -z "$number" ] || put_back "$number" "$ids" "$file"
done 9>&- <<EOF
$list
EOF
# On a full disk, for example: nothing of half a rollback becomes active, and systemd tries again.
[ -z "$failed" ] || exit 1
# shellcheck source=/dev/null
. ./undo
[ -z "$failed" ] || exit 1

# What was put back is on the disk before the rollback goes.
units=/etc/systemd/system
sync -f -- "$here" "$units" 2>/dev/null || sync
unit=$(basename "$here")
wants=$units/sysinit.target.wants
case $how in timer | boot) : >"$here.taken-back" ;; esac
rm -f -- kept "$wants/$unit-at-boot.service" "$units/$unit-at-boot.service" \
  "$units/multi-user.target.wants/$unit-after-boot.service" "$units/$unit-after-boot.service"
[ ! -f wants-is-ours ] || rmdir -- "$wants" 2>/dev/null
rm -rf -- "$here"
