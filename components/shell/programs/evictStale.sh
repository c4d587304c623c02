#!/bin/sh
# The one command that a tunnel's key may run: it ends the account's earlier sessions, so that the port that a dead one
# still holds is free for the new one. Sessions run as the account itself, which therefore may end them, and no others.
# Hundreds of tunnels come back at once: one awk reads all processes of the host, and no program is started for each.
# Asked for "listeners", it says instead what listens on the ports that the account's key permits, and on no other:
# "ADDRESS PORT USER" for each after the word itself, with "-" for the account.
# needs: sockets listeners
set -u
PATH=$PATH:/usr/sbin:/sbin
uid=$(id -u)

# Nothing at all where it cannot tell.
show_listeners() {
  local name keys listening
  name=$(id -un)
  keys=/etc/ssh/ssh-reverse-tunnel/$name.keys
  listening=$(list_listeners)
  [ -r "$keys" ] && [ -n "$listening" ] || return 0
  echo listeners
  printf '%s\n' "$listening" | awk -v name="$name" '
    FILENAME == ARGV[1] {
      while (match($0, /permitlisten="[^"]*"/)) {
        port = substr($0, RSTART, RLENGTH - 1)
        $0 = substr($0, RSTART + RLENGTH)
        sub(/.*:/, "", port)
        mine[port]
      }
      next
    }
    $2 in mine { print $1, $2, ($3 == name ? "-" : $3) }' "$keys" -
}

if [ "${SSH_ORIGINAL_COMMAND-}" = listeners ]; then
  show_listeners
  exit
fi
# printf is the shell's own and takes any number of names, and getline passes over what has ended in the meantime. Ours
# is the session that we run in, where there is one: a run that was slow does not end what began after it.
# shellcheck disable=SC2016  # awk's own
pids=$(printf '%s\n' /proc/[0-9]*/status | awk -v uid="$uid" -v own=$$ '
  function started(pid,   stat, line, field) {
    stat = "/proc/" pid "/stat"
    if ((getline line <stat) <= 0) return -1
    close(stat)
    sub(/.*\) /, "", line) # the name in brackets may have anything in it
    split(line, field, " ")
    return field[20] + 0
  }
  {
    split($0, path, "/")
    pid = path[3]
    while ((getline line <$0) > 0) {
      split(line, word)
      if (word[1] == "Name:") name = word[2]
      if (word[1] == "State:") state = word[2]
      if (word[1] == "PPid:") parent[pid] = word[2]
      if (word[1] == "Uid:") {
        if (word[2] == uid && state != "Z" && (name == "sshd" || name == "sshd-session")) session[pid] = started(pid)
        break
      }
    }
    close($0)
  }
  END {
    for (pid = own; pid in parent; pid = parent[pid]) {
      if (pid in session) ours = session[pid]
      delete session[pid]
    }
    for (pid in session) if (session[pid] >= 0 && (ours == "" || session[pid] < ours)) print pid
  }')
[ -n "$pids" ] || exit 0
# shellcheck disable=SC2086  # one word each
kill -KILL $pids 2>/dev/null
# Until the last of them is gone, it has its ports. None takes longer than a moment.
tries=40
for pid in $pids; do
  while [ "$tries" -gt 0 ] && grep -q '^State:[[:space:]]*[^ZX]' "/proc/$pid/status"; do
    tries=$((tries - 1))
    sleep 0.05
  done
done 2>/dev/null
# shellcheck disable=SC2086
set -- $pids
if [ $# = 1 ]; then
  echo "ended the earlier session (pid $1) of $(id -un)"
else
  echo "ended $# earlier sessions of $(id -un)"
fi
exit 0
