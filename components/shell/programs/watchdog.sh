#!/bin/sh
# Looks at a tunnel from its internal host, from end to end over its own connection, and keeps what it finds. It sees what
# keep-alives do not: the connection is alive, but one of its listeners is gone, or leads nowhere. Then the tunnel is ended,
# and only that; systemd starts it again. A target that is down is not the fault of the tunnel, which may carry others.
#   watchdog repair HOST_ALIAS RUNTIME_DIRECTORY FORWARD…
#   watchdog check …    only looks: succeeds where the connection and each of its listeners are there
#   watchdog look …     what repair does as the account: prints what it finds, and of the connection, behind a tab, its
#                       process, since when it is there and how long ago it began
#   watchdog restart HOST_ALIAS RUNTIME_DIRECTORY PROCESS   repair's last step, as the account
# needs: reasons forwards state
set -u
mode=$1
alias=$2
runtime=$3
shift 3
tunnel=${alias#ssh-tunnel-}
PID=
CONNECTED=-

# as_account COMMAND… — as the account that the tunnel runs as ($ACCOUNT); without one, as whoever we are. It may be
# stopped, or write for ever: systemd ends a check that takes too long, and we read no more than we need.
as_account() {
  if [ -z "${ACCOUNT-}" ]; then
    "$@"
  else
    setpriv --reuid "$(id -u "$ACCOUNT")" --regid "$(id -g "$ACCOUNT")" --init-groups "$@"
  fi | head -c 65536
}

# finding REASON — a line for keep_states about the forward that was split; "-" if it is up.
finding() { printf '%s\t%s\t%s\n' "$tunnel" "$NAME" "$1"; }

# How long ago the tunnel began to connect, in seconds.
age() { echo $(($(date +%s) - $(stat -c %Y "$runtime/pid" 2>/dev/null || date +%s))); }

answers() { timeout 10 ssh -S "$runtime/control" -O check "$alias" 2>/dev/null; }

# Whether the connection is still the one that was checked. Otherwise a new one would be blamed for what the old one did.
is_as_before() { [ "$(cat "$runtime/pid" 2>/dev/null)" = "$PID" ] && answers; }

# look_at_connection — sets PID, CONNECTED, and FAULT if the connection is not alive. One that is not up, or only just
# connecting, is systemd's to repair.
look_at_connection() {
  FAULT=no-connection
  PID=$(cat "$runtime/pid" 2>/dev/null) && grep -q '^Name:[[:space:]]*ssh$' "/proc/$PID/status" 2>/dev/null || return 0
  if answers || answers; then                # once is not enough here either
    [ -e "$runtime/forwarding" ] || return 0 # where it does not get its forwards, it ends by itself
    FAULT=
    CONNECTED=$(stat -c %Y "$runtime/control" 2>/dev/null) || CONNECTED=-
  elif [ "$(age)" -ge 30 ]; then # before it is connected it has no control socket
    FAULT=ssh-hangs
  fi
}

# through — the first four bytes that come back over the tunnel's own connection and through the listener. If there are
# none, how ssh ended: 255 if nothing listens there, 124 if something does and is silent.
through() {
  case $ADDRESS in *:*) set -- "[$ADDRESS]:$PORT" ;; *) set -- "$ADDRESS:$PORT" ;; esac
  {
    timeout 10 ssh -S "$runtime/control" -o ClearAllForwardings=yes -W "$1" "$alias" </dev/null
    echo " $?"
  } 2>/dev/null | head -c 4
}

# target_answers — asked without the tunnel.
# shellcheck disable=SC2016
target_answers() {
  timeout 5 bash --norc -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    [ "$3" = ssh ] || exit 0
    read -r -t 3 -n 4 start <&3
    [ "$start" = SSH- ]' bash "$TARGET_HOST" "$TARGET_PORT" "$PROTOCOL" 2>/dev/null
}

# fault_of — the reason why the forward that was split is down; "-" if it works.
fault_of() {
  case $(through) in
    " 255") echo no-listener ;;
    SSH-) echo - ;;
    *)
      if ! target_answers; then
        echo target-down
      elif [ "$PROTOCOL" = ssh ]; then
        echo nothing-back
      else
        echo -
      fi
      ;;
  esac
}

# target_was_down — whether only the target was down when this very connection was last looked at.
target_was_down() {
  [ "$mode" = look ] && grep -q "$TAB$CONNECTED$TAB$NAME$TAB.*${TAB}target-down\$" "$RUNTIME_DIRECTORY/state" 2>/dev/null
}

look() {
  local reason
  split_forward "$1"
  # ssh tells the journal of each connection to a target that is down. The listener has been seen.
  if [ -z "$FAULT" ] && target_was_down && ! target_answers; then
    finding target-down
    return
  fi
  reason=${FAULT:-$(fault_of)}
  if [ -z "$FAULT" ] && is_to_blame "$reason"; then
    # Once is not enough to end the other connections of the tunnel for; and it may have ended itself meanwhile.
    reason=$(fault_of)
    is_as_before || reason=no-connection
  fi
  finding "$reason"
}

# is_to_blame TEXT — whether the tunnel is, by a reason or by one of several findings.
is_to_blame() { printf '%s\n' "$1" | grep -qE "(^|$TAB)(ssh-hangs|no-listener|nothing-back)\$"; }

restart() {
  kill "$1" 2>/dev/null || return 0
  # One that hangs does not hear it.
  timeout 5 sh -c "while [ -d /proc/$1 ]; do sleep 0.1; done" || kill -KILL "$1"
}

# look_at_all FORWARD… — sets FINDINGS, and WHOLE to yes or no.
look_at_all() {
  local forward
  look_at_connection
  # All at once: one that hangs holds up no other.
  FINDINGS=$(
    for forward; do look "$forward" & done
    wait
  )
  WHOLE=yes
  # A target that is down is no fault of the tunnel.
  if [ -n "$FAULT" ] || printf '%s\n' "$FINDINGS" | grep -qvE "$TAB(-|target-down)\$"; then WHOLE=no; fi
}

number() { case ${1:-x} in *[!0-9]*) printf %s "$2" ;; *) printf %s "$1" ;; esac }

repair() {
  local age forward kept
  FINDINGS=$(as_account "$0" look "$alias" "$runtime" "$@")
  IFS=: read -r PID CONNECTED age <<EOT
$(printf '%s\n' "$FINDINGS" | awk -F "$TAB" 'NF == 4 && $1 == "" { print $2 ":" $3 ":" $4; exit }')
EOT
  CONNECTED=$(number "$CONNECTED" -)
  for forward; do
    split_forward "$forward"
    expect "$tunnel" "$CHECK_INTERVAL" "$CONNECTED"
  done
  kept=0
  { begin && printf '%s\n' "$FINDINGS" | keep_states internal "$(date +%s)" state; } || kept=$?
  if [ "$kept" = 10 ]; then
    :
  elif is_to_blame "$FINDINGS" && [ "$(number "$age" 0)" -ge 300 ]; then # where it did not help, it does not help every few seconds either
    echo "<4>tunnel $tunnel: it is still not whole; restarting the tunnel again"
  else
    return 0
  fi
  [ "$(number "$PID" 0)" = 0 ] || as_account "$0" restart "$alias" "$runtime" "$PID"
}

case $mode in
  repair) repair "$@" ;;
  restart) restart "$1" ;;
  check)
    look_at_all "$@"
    [ "$WHOLE" = yes ]
    ;;
  look)
    look_at_all "$@"
    # The back-off of the tunnel's restarts ends where the whole tunnel has been seen to work.
    [ "$WHOLE" = no ] || rm -f "$runtime/down-since"
    printf '%s\n\t%s\t%s\t%s\n' "$FINDINGS" "$PID" "$CONNECTED" "$(age)"
    ;;
esac
