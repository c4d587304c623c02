#!/bin/sh
# Looks at the forwards of all tunnels of a stack from their public host, at each tunnel as often as it asks for, and keeps
# what it finds; the journal hears of changes.
#   health FOLDER   in which each tunnel has a file of its name: a line "interval SECONDS", and a line for each forward
# needs: reasons forwards state
set -u
lists=$1

# Sets $tunnel and $interval to what a list is of and asks for. One that cannot be read is no other tunnel's fault, and what an
# editor leaves beside it is none.
read_list() {
  tunnel=${1##*/}
  case $tunnel in *[!a-z0-9-]*) return 1 ;; esac
  [ -f "$1" ] && [ -r "$1" ] && read -r word interval <"$1" && [ "$word" = interval ] || return 1
  case $interval in "" | 0* | *[!0-9]* | ??????????*) return 1 ;; esac
}

# The timer runs as often as the most impatient tunnel asks for.
find_step() {
  step=
  for list in "$lists"/*; do
    read_list "$list" || continue
    [ -n "$step" ] && [ "$step" -le "$interval" ] || step=$interval
  done
}

# A tunnel that does not ask for every run is in that which is nearest to its time; in the next one where its list is new.
# shellcheck disable=SC3013  # POSIX.1-2024 has -nt, and so do dash, bash and busybox
is_due() {
  [ "$interval" -gt "$step" ] && [ -f "$tunnel.state" ] && [ -f started ] && [ ! "$list" -nt started ] || return 0
  read -r _ _ _ checked _ <"$tunnel.state" || return 0
  elapsed=$((now - checked))
  [ "$elapsed" -lt 0 ] || [ $((2 * elapsed)) -ge $((2 * interval - step)) ]
}

# Sets $forwards to those of the tunnels that are due, and $files to where their states are.
gather() {
  forwards=
  files=
  for list in "$lists"/*; do
    read_list "$list" || continue
    is_due || continue
    files="$files $tunnel.state"
    while IFS= read -r forward; do
      case $forward in "interval "*) continue ;; esac
      split_forward "$forward"
      case $port in "" | *[!0-9]*) continue ;; esac
      expect "$tunnel" "$interval" -
      forwards="$forwards$tunnel $name $address $port $protocol$NL"
    done <"$list"
  done
}

# As somebody without rights. It may write for ever, and we read no more than we need.
look() {
  printf %s "$forwards" |
    HOME=/ SHELL=/bin/sh ${LOOKS_AS:+setpriv --reuid "${LOOKS_AS%:*}" --regid "${LOOKS_AS#*:}" --clear-groups} \
      bash "${0%/*}/probe" 2>/dev/null |
    head -c 1048576
}

begin || exit 1
# Part of what this run keeps: a list that is changed meanwhile is newer.
: >new/started
now=$(date +%s)
find_step
gather
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086  # words
look | keep_states public "$now" $files
