#!/bin/bash
# Connects to each forward that standard input names, "TUNNEL NAME ADDRESS PORT", and prints what it finds, with tabs:
# "TUNNEL NAME REASON", with "-" for a reason where an SSH banner comes back. In bash, so that a look costs no more than a
# fork.
# needs: banner
set -u

# So many wait at once, and none longer than so many hundredths of a second: the shortest interval of a check has room for it.
most=128
longest=400

eval "$SPEAKS_SSH"

finding() { printf '%s\t%s\t%s\t%s\n' "$BASHPID" "$1" "$2" "$3"; }

# look TUNNEL NAME ADDRESS PORT — a listener whose target is down accepts, and closes at once.
look() {
  if speaks_ssh "$3" "$4"; then
    finding "$1" "$2" -
  else
    finding "$1" "$2" nothing-back
  fi
}

# Sets NOW: hundredths of a second since the boot, whatever the clock says.
look_at_clock() {
  read -r NOW _ </proc/uptime
  NOW=$((10#${NOW/./}))
}

# Those that have waited for too long; where one has ended meanwhile, its finding is on its way.
end_overdue() {
  local pid tunnel name
  for pid in "${!began[@]}"; do
    ((NOW - began[$pid] >= longest)) || continue
    if kill -KILL "$pid"; then
      read -r tunnel name _ <<<"${looks[$pid]}"
      printf '%s\t%s\tnothing-back\n' "$tunnel" "$name"
    fi
    unset "began[$pid]"
  done
}

main() {
  local -A began=() looks=()
  local forwards next=0 pid line
  mapfile -t forwards
  exec 4<> <(:) # a pipe
  while ((next < ${#forwards[@]} || ${#began[@]} > 0)); do
    look_at_clock
    while ((next < ${#forwards[@]} && ${#began[@]} < most)); do
      # shellcheck disable=SC2086  # words
      look ${forwards[next]} >&4 &
      began[$!]=$NOW
      looks[$!]=${forwards[next]}
      ((++next))
    done
    if IFS=$'\t' read -r -t 0.5 -u 4 pid line; then
      printf '%s\n' "$line"
      unset "began[$pid]"
    else
      end_overdue
    fi
  done
}

main
