#!/bin/sh
# Looks at the forwards of all tunnels of a stack from their public host, at each tunnel as often as it asks for, and keeps
# what it finds; changes go to the journal. What listens there, and as whom, is proof enough of a forward: sshd's session of
# the tunnel's account listens as long as its connection lives.
#   health FOLDER   in which each tunnel has a file of its name: a line "interval SECONDS", then, if
#                   there are logins, "made TIME", when the oldest of their keys was made, and a line for each forward
# needs: reasons forwards state sockets listeners logins
set -u
lists=$1

# read_list LIST — sets TUNNEL to the tunnel that the list is for, and INTERVAL to what it asks for. Fails where the list
# cannot be read, which must not keep the others from being looked at, and for what an editor leaves beside it.
read_list() {
  local word
  TUNNEL=${1##*/}
  case $TUNNEL in *[!a-z0-9-]*) return 1 ;; esac
  [ -f "$1" ] && [ -r "$1" ] && read -r word INTERVAL <"$1" && [ "$word" = interval ] || return 1
  case $INTERVAL in "" | 0* | *[!0-9]* | ??????????*) return 1 ;; esac
}

# find_step — sets STEP: the timer runs as often as the most impatient tunnel asks for.
find_step() {
  local list
  STEP=
  for list in "$lists"/*; do
    read_list "$list" || continue
    [ -n "$STEP" ] && [ "$STEP" -le "$INTERVAL" ] || STEP=$INTERVAL
  done
}

# is_due LIST — a tunnel that does not ask for every run is looked at in the run that is nearest to its time, or in the next
# one if its list is new.
# shellcheck disable=SC3013  # POSIX.1-2024 has -nt, and so do dash, bash and busybox
is_due() {
  local checked elapsed
  [ "$INTERVAL" -gt "$STEP" ] && [ -f "$TUNNEL.state" ] && [ -f started ] && [ ! "$1" -nt started ] || return 0
  read -r _ _ _ checked _ <"$TUNNEL.state" || return 0
  elapsed=$((now - checked))
  [ "$elapsed" -lt 0 ] || [ $((2 * elapsed)) -ge $((2 * INTERVAL - STEP)) ]
}

# gather — sets FORWARDS to those of the tunnels that are due, and FILES to where their states are.
gather() {
  local list forward made
  FORWARDS=
  FILES=
  for list in "$lists"/*; do
    read_list "$list" || continue
    is_due "$list" || continue
    FILES="$FILES $TUNNEL.state"
    made=-
    while IFS= read -r forward; do
      case $forward in
        "interval "*) continue ;;
        "made "*)
          made=${forward#made }
          continue
          ;;
      esac
      split_forward "$forward"
      case $PORT/$PROBE in *[!0-9]*/* | /* | */none) continue ;; esac
      expect "$TUNNEL" "$INTERVAL" - "$made"
      FORWARDS="$FORWARDS$LISTEN $PORT tunnel-$TUNNEL $TUNNEL $NAME $PROBE $ADDRESS $PORT$NL"
    done <"$list"
  done
}

# look — prints what it finds. Only where a banner is wanted, it connects: as an account without rights. That may write for
# ever, and we read no more than we need. No listener at all: the kernel has not been asked.
look() {
  local listening verdicts
  listening=$(list_listeners)
  [ -n "$listening" ] || return 0
  verdicts=$(printf '%s\n%s\n' "$FORWARDS" "$listening" | judge)
  printf '%s\n' "$verdicts" | awk -v OFS="$TAB" '$4 != "banner" || $1 != "-" { print $2, $3, $1 }'
  verdicts=$(printf '%s\n' "$verdicts" | awk '$4 == "banner" && $1 == "-" { print $2, $3, $5, $6 }')
  [ -z "$verdicts" ] || printf '%s\n' "$verdicts" |
    HOME=/ SHELL=/bin/sh ${LOOKS_AS:+setpriv --reuid "${LOOKS_AS%:*}" --regid "${LOOKS_AS#*:}" --clear-groups} \
      bash "${0%/*}/probe" 2>/dev/null |
    head -c 1048576
}

begin || exit 1
# Part of what this run keeps: a list that changes meanwhile is newer.
: >new/started
now=$(date +%s)
find_step
gather
[ -n "$FILES" ] || exit 0
find_logins
# shellcheck disable=SC2086  # words
look | keep_states public "$now" $FILES && keep_logins
