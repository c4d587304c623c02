#!/bin/sh
# Looks at a tunnel from its internal host, and keeps what it finds. It sees what keep-alives do not: ssh hangs, and then it
# is ended, and systemd starts it again; or one of its listeners is gone, and then it is asked for again, over the tunnel's
# own connection, without harm to any other. ssh itself ends a connection that is dead, and a target is none of our business
# unless we are told so (probe): to connect to it at each look may harm it, and what refuses such a connection says nothing
# of the tunnel.
#   watchdog repair HOST_ALIAS RUNTIME_DIRECTORY FORWARD…
#   watchdog check …    succeeds where the connection and each of its listeners are there; asks for those that are not
#   watchdog look …     what repair does as the account: prints what it finds, and of the connection, behind a tab, its
#                       process, since when it is there and how long ago it began
#   watchdog restart HOST_ALIAS RUNTIME_DIRECTORY PROCESS   repair's last step, as the account
# needs: reasons forwards state listeners banner
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

# on_socket ACTION — asks ssh to forward or to cancel the forward that was split. For one that it has it does nothing.
on_socket() {
  timeout 10 ssh -q -F /dev/null -S "$runtime/control" -O "$1" -R "$LISTENS:$LEADS_TO" "$alias" >/dev/null 2>&1
}

# verdicts FORWARD… — what evict-stale says of each (judge), "VERDICT FORWARD"; with "?" where it says nothing.
verdicts() {
  local forward listening
  listening=$(timeout 10 ssh -F /dev/null -T -S "$runtime/control" "$alias" listeners </dev/null 2>/dev/null |
    head -c 65536 | awk 'theirs; $0 == "listeners" { theirs = 1 }')
  if [ -z "$listening" ]; then
    printf '? %s\n' "$@"
    return
  fi
  {
    for forward; do
      split_forward "$forward"
      echo "$LISTEN $PORT - $forward"
    done
    printf '\n%s\n' "$listening"
  } | judge
}

# look_at_listeners FORWARD… — prints what is found of each. What sshd has granted stays unless it is cancelled here. So it is
# asked what listens only once in each connection, and again while something is wrong: each such question is a session there,
# which may run a script of the administrator's (sshrc). The verdicts are kept in the file "listeners"; with "asked" where
# one was not there and was asked for again, and "lost" where it still is not: then that is reported, and nothing is done.
look_at_listeners() {
  local about before after verdict forward was reason
  about="$PID $CONNECTED $*"
  before=$(sed 1q "$runtime/listeners" 2>/dev/null)
  if [ "$before" = "$about" ]; then before=$(sed 1d "$runtime/listeners"); else before=; fi
  after=$before
  if [ -z "$before" ] || printf '%s\n' "$before" | grep -q '^[^-?]'; then after=$(verdicts "$@"); fi
  # Without an answer, what it said before still holds.
  case $after in "?"*) after=${before:-$after} ;; esac
  {
    echo "$about"
    while read -r verdict forward <&3; do
      split_forward "$forward"
      was=$(printf '%s\n' "$before" | awk -v forward="$forward" '$2 == forward { print $1 }')
      reason=-
      case $verdict/$was in
        taken:*) reason=$verdict ;;
        no-listener/asked | no-listener/lost | lost/*) reason=no-listener verdict=lost ;;
        *)
          case $verdict/$was in
            no-listener/no-listener) verdict=asked ;;
            # ssh takes it for granted; or the port was another's on one address of several, and is not any more.
            no-listener/* | -/taken:*) verdict=asked && on_socket cancel ;;
          esac
          on_socket forward || {
            on_socket cancel # an older ssh would take it for granted
            reason=no-listener verdict=no-listener
          }
          ;;
      esac
      echo "$verdict $forward"
      [ "$reason" = - ] || is_as_before || reason=no-connection
      report "$reason" >&4 &
    done 3<<EOT
$after
EOT
    wait
  } 4>&1 >"$runtime/listeners.$$"
  mv -f -- "$runtime/listeners.$$" "$runtime/listeners"
}

# report REASON — of the forward that was split, after a look at its target where that is wanted.
report() {
  if [ "$1 $PROBE" = "- banner" ] && ! target_answers; then
    finding target-down
  else
    finding "$1"
  fi
}

# target_answers — asked without the tunnel.
# shellcheck disable=SC2016
target_answers() {
  timeout 5 bash --norc -c "$SPEAKS_SSH"'speaks_ssh "$1" "$2"' bash "$TARGET_HOST" "$TARGET_PORT" 2>/dev/null
}

restart() {
  kill "$1" 2>/dev/null || return 0
  # One that hangs does not hear it.
  timeout 5 sh -c "while [ -d /proc/$1 ]; do sleep 0.1; done" || kill -KILL "$1"
}

# look_at_all FORWARD… — sets FINDINGS, and WHOLE to yes or no.
look_at_all() {
  local forward
  WHOLE=yes
  look_at_connection
  if [ -z "$FAULT" ]; then
    FINDINGS=$(look_at_listeners "$@") || WHOLE=no
  else
    FINDINGS=$(for forward; do split_forward "$forward" && report "$FAULT"; done)
  fi
  # A target that is down is no fault of the tunnel.
  if [ -n "$FAULT" ] || printf '%s\n' "$FINDINGS" | grep -qvE "^\$|$TAB(-|target-down)\$"; then WHOLE=no; fi
}

number() { case ${1:-x} in *[!0-9]* | ????????????*) printf %s "$2" ;; *) printf %s "$1" ;; esac }

repair() {
  local age forward kept
  FINDINGS=$(as_account "$0" look "$alias" "$runtime" "$@")
  IFS=: read -r PID CONNECTED age <<EOT
$(printf '%s\n' "$FINDINGS" | awk -F "$TAB" 'NF == 4 && $1 == "" { print $2 ":" $3 ":" $4; exit }')
EOT
  CONNECTED=$(number "$CONNECTED" -)
  for forward; do
    split_forward "$forward"
    [ "$PROBE" = none ] || expect "$tunnel" "$CHECK_INTERVAL" "$CONNECTED" "$(number "${KEY_MADE-}" -)"
  done
  RESTARTS=$(number "$(systemctl show -p NRestarts --value "$alias.service" 2>/dev/null)" -)
  kept=0
  { begin && printf '%s\n' "$FINDINGS" | keep_states internal "$(date +%s)" state; } || kept=$?
  if [ "$kept" = 10 ]; then
    :
  elif printf '%s\n' "$FINDINGS" | grep -q "${TAB}ssh-hangs\$" && [ "$(number "$age" 0)" -ge 300 ]; then # where it did not help, it does not help every few seconds either
    echo "<4>tunnel $tunnel: ssh still hangs; restarting the tunnel again"
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
    # The back-off of the tunnel's restarts ends where it has been seen to work: without any forward it ends by itself.
    [ -n "$FAULT" ] || rm -f "$runtime/down-since"
    printf '%s\n\t%s\t%s\t%s\n' "$FINDINGS" "$PID" "$CONNECTED" "$(age)"
    ;;
esac
