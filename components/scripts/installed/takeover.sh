#!/bin/sh
# The one command that a tunnel's key may run: it ends the account's other sessions, so that the port that a dead one
# still holds is free for the new one. Sessions run as the account itself, which therefore may end them, and no others.
set -u

# Our own sshd must live: walk up from this shell.
ours=" $$ "
pid=$$
while [ "$pid" -gt 1 ]; do
  pid=$(sed -n 's/^PPid:[[:space:]]*//p' "/proc/$pid/status" 2>/dev/null) || break
  [ -n "$pid" ] || break
  ours="$ours$pid "
done

uid=$(id -u)
for status in /proc/[0-9]*/status; do
  pid=${status#/proc/}
  pid=${pid%/status}
  case $ours in *" $pid "*) continue ;; esac
  if grep -qE '^Name:[[:space:]]*sshd(-session)?$' "$status" 2>/dev/null &&
    grep -qE "^Uid:[[:space:]]*${uid}[[:space:]]" "$status" 2>/dev/null; then
    kill -KILL "$pid" 2>/dev/null && echo "ended the earlier session (pid $pid) of $(id -un)"
  fi
done
exit 0
