#!/bin/sh
# Puts back what a change on trial has replaced. It is in the trial's folder, with the files as they were ("1", "2" …,
# listed in "kept") and "undo", which says what else is to be done. It fails, and is tried again, until all of that is done.
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

# Seconds since the boot, whatever the clock says.
uptime_seconds() { sed 's/\..*//' /proc/uptime; }

# If somebody has the lock and does not give it back, the change must go all the same. But what the run that made the change
# writes after that would have no rollback, so that run is ended first.
lock() {
  try_lock || { end_holder && try_lock; }
}

# end_holder — ends the holder with all that it has started. It is stopped first, so that it starts nothing more. Fails if
# the lock belongs to somebody who has nothing to do with this.
end_holder() {
  local pid owner resource children
  [ -f "$LOCK_FILE" ] && IFS='	' read -r pid _ owner resource _ <"$LOCK_FILE" || return 1
  # A run that has just confirmed has removed the folder; and if the holder was killed, another process may have its number.
  [ -f "$here/kept" ] && [ "$owner	$resource" = "$(cat holder 2>/dev/null)" ] &&
    [ "$(stat -Lc %d:%i "/proc/$pid/fd/9" 2>/dev/null)" = "$(stat -c %d:%i "$LOCK_FILE")" ] &&
    kill -STOP "$pid" 2>/dev/null || return 1
  echo "ssh-reverse-tunnel: the time for a change was up before the run that makes it had ended; it is ended now, and the change taken back" >&2
  children=$(grep -H '^PPid:' /proc/[0-9]*/status 2>/dev/null | awk -F '[/:[:space:]]+' -v top="$pid" '
    { parent[$3] = $6 }
    END {
      for (pid in parent) {
        for (above = pid; above in parent && above != top; above = parent[above]);
        if (above == top && pid != top) print pid
      }
    }')
  # shellcheck disable=SC2086  # numbers
  kill -KILL $children "$pid" 2>/dev/null
}

# try_lock — succeeds if we have the lock within ten seconds, or if nobody can have it.
try_lock() {
  local end left
  end=$(($(uptime_seconds) + 10))
  until left=$((end - $(uptime_seconds))) && [ "$left" -le 0 ]; do
    (umask 077 && true >>"$LOCK_FILE") || return 0
    umask 077 # its holder may take it away at any moment, and it is made anew
    exec 9<>"$LOCK_FILE"
    umask 022
    flock -w "$left" 9 || return 1
    # The last holder removes the file.
    # shellcheck disable=SC3013  # as in lib.sh
    [ /proc/self/fd/9 -ef "$LOCK_FILE" ] || continue
    trap 'rm -f -- "$LOCK_FILE"' EXIT
    : >"$LOCK_FILE"
    printf '%s\t%s\t%s\trollback\ta rollback\n' "$$" "$(uptime_seconds)" "$(basename "$here")" >&9
    return 0
  done
  return 1
}

[ "$how" != timer ] || lock
[ -f "$here/kept" ] || exit 0 # confirmed while we waited
if [ "$(tail -n 1 kept)" != whole ] || [ ! -s undo ]; then
  echo "ssh-reverse-tunnel: what was kept in $here before a change is not whole, and nothing was put back" >&2
  exit 0 # it will not be whole the next time either; the next 'pulumi up' says so
fi

# flush PATH… — what is written there survives a power cut from now on.
flush() { sync -- "$@" 2>/dev/null || timeout 30 sync; }

# Files that must not outlive this boot.
passing=/run/$(basename "$here")
# An account's file that cannot be put back is tried again for so many seconds. The account can see to it that this never
# succeeds, and all else must not wait for that.
patience=60

# not_done WHAT — for undo: says what it cannot do yet. Sets failed, which undo reads; one that an earlier version has
# written, too.
not_done() {
  failed=yes
  echo "ssh-reverse-tunnel: a change that was not confirmed cannot be taken back yet: $*; this is tried again until it succeeds" >&2
}

# restart_once UNIT — for undo: does not restart it again in the next attempt, which may have another reason.
# shellcheck disable=SC2317
restart_once() { [ -e "$1.restarted" ] || { systemctl restart "$1" && : >"$1.restarted"; }; }

# Runs as the account that the file belongs to. Standard input is the file's content; $2 is its mode, or empty if there was
# no file. A folder on the way that the account could lead elsewhere is refused. Ends with 28 if the disk is full.
# shellcheck disable=SC2016
as_account='
  folder=${1%/*}
  while [ -n "$folder" ]; do
    if [ -L "$folder" ] && [ "$(stat -c %u -- "$folder")" != 0 ]; then
      echo "$folder is a link" >&2
      exit 1
    fi
    folder=${folder%/*}
  done
  new=${1%/*}/.${1##*/}.ssh-reverse-tunnel
  if [ -z "$2" ]; then
    rm -f -- "$1" || exit 1
  else
    [ ! -d "$1" ] || [ -L "$1" ] || exit 1
    rm -f -- "$new" && umask 077 && cat >"$new" && chmod "$2" "$new" && { sync -- "$new" 2>/dev/null || sync; } && mv -fT -- "$new" "$1" || {
      [ "$(df -P -- "${1%/*}" | awk "END { print \$4 }")" != 0 ] && [ "$(df -Pi -- "${1%/*}" | awk "END { print \$4 }")" != 0 ] || exit 28
      exit 1
    }
    if command -v restorecon >/dev/null 2>&1; then restorecon -- "$1" 2>/dev/null; fi
  fi
  [ ! -d "${1%/*}" ] || sync -- "${1%/*}" 2>/dev/null || sync'

# put_back COPY UID:GID:GROUPS FILE — in a home, its account does it, within half a minute: it may put links and pipes
# there.
put_back() {
  case $2 in
    0:*) put_back_of_root "$1" "$3" || not_done "$3 cannot be written" ;;
    *)
      put_back_of_account "$@" && rm -f -- "$passing.$1" && return
      if [ $? != 28 ] && out_of_patience "$passing.$1"; then
        echo "ssh-reverse-tunnel: a change that was not confirmed is taken back, but for $3, which its account could not write for $patience seconds" >&2
      else
        not_done "$3 cannot be written by its account"
      fi
      ;;
  esac
}

# out_of_patience FILE — whether the first failure was so long ago. The file says when.
out_of_patience() {
  local now first
  now=$(uptime_seconds)
  first=$now
  if [ -s "$1" ]; then read -r first <"$1"; else (umask 077 && echo "$now" >"$1"); fi
  [ $((now - first)) -ge "$patience" ]
}

# The account can read what these processes have open, and so keep our output open, unless they have what it lacks: see as
# in files.sh.
apart='--inh-caps +net_broadcast --ambient-caps +net_broadcast'
# shellcheck disable=SC2086  # words
setpriv $apart true 2>/dev/null || apart=

put_back_of_account() {
  local mode copy ids
  mode='' copy=/dev/null
  if [ -f "$1" ]; then mode=$(stat -c %a -- "$1") copy=$1; fi
  ids=${2%:*}
  # shellcheck disable=SC2086  # words
  timeout -s KILL 30 setpriv --reuid "${ids%:*}" --regid "${ids#*:}" --groups "${2##*:}" $apart \
    sh -c "$as_account" sh "$3" "$mode" <"$copy" 3>&- 9>&-
}

put_back_of_root() {
  local folder new
  folder=$(dirname -- "$2")
  new=$folder/.$(basename -- "$2").ssh-reverse-tunnel
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then
    rm -f -- "$2" || return 1
    [ -d "$folder" ] || return 0
  else
    rm -f -- "$new" && cp -a -- "$1" "$new" && { [ -L "$new" ] || flush "$new"; } && mv -fT -- "$new" "$2" || return 1
    if command -v restorecon >/dev/null 2>&1; then restorecon -- "$2" 2>/dev/null 3<&- 9<&-; fi # it may have neither open
  fi
  flush "$folder"
}

# take_line FILE TEXT — for undo: removes a line that we added to a file that belongs to root.
# shellcheck disable=SC2317
take_line() {
  local new
  grep -qxF -e "$2" -- "$1" || return 0
  new=$(dirname -- "$1")/.$(basename -- "$1").ssh-reverse-tunnel
  if rm -f -- "$new" && cp -a -- "$1" "$new" && { grep -vxF -e "$2" -- "$1" >"$new" || [ $? = 1 ]; } && flush "$new" && mv -f -- "$new" "$1"; then
    flush "$(dirname -- "$1")"
  else
    not_done "$1 cannot be written"
  fi
}

failed=
# Nobody has confirmed what is only half put back.
if [ -e active ] || [ "$how" = boot ]; then rm -f -- active *.restarted; fi
while IFS='	' read -r number ids file <&3; do
  [ "$number" = whole ] || put_back "$number" "$ids" "$file"
done 3<kept
# On a full disk, for example. Nothing of half a rollback becomes active, and systemd tries again.
[ -z "$failed" ] || exit 1
# shellcheck source=/dev/null
. ./undo
[ -z "$failed" ] || exit 1

# In this order also on the disk: the old files, the end of the trial, its units.
case $how in timer | boot) touch -- "$here.taken-back" 2>/dev/null ;; esac
rm -rf -- "$here.ended" && mv -- "$here" "$here.ended" || exit 1
flush "${here%/*}"
rm -f -- "$passing".*
unit=$(basename -- "$here")
wants=/etc/systemd/system/sysinit.target.wants
rm -f -- "$wants/$unit-at-boot.service" "/etc/systemd/system/$unit-at-boot.service" "/etc/systemd/system/$unit-again.service"
[ ! -f "$here.ended/wants-is-ours" ] || rmdir -- "$wants" 2>/dev/null
rm -rf -- "$here.ended"
[ "$how" = boot ] || systemctl reset-failed "$unit-at-boot.service" 2>/dev/null
exit 0
