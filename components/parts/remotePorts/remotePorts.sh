# shellcheck shell=sh
# The ports that a tunnel's forwards listen on: free, or held by this very tunnel, and promised to no other.
# Prints "port NAME PORT" for each.
#   ACCOUNT   the tunnel's account, whose own listeners are no obstacle
#   FORWARDS  each as in forwards.sh; the port of one that the host chooses is "auto:START"
#   RANGE     first and last port for those
apply() {
  local forward start obstacle
  for forward in $FORWARDS; do
    split_forward "$forward"
    case $LISTEN in
      loopback) LISTEN=127.0.0.1 ;;
      all) LISTEN='*' ;;
    esac
    case $PORT in
      auto:*)
        start=${PORT#auto:}
        PORT=$(kept_port "$NAME" "$LISTEN" "${RANGE% *}" "${RANGE#* }")
        [ -n "$PORT" ] || PORT=$(free_port "$NAME" "$LISTEN" "$start" "${RANGE% *}" "${RANGE#* }")
        own auto "$NAME $LISTEN $PORT"
        ;;
    esac
    obstacle=$(obstacle "$LISTEN" "$PORT")
    [ -z "$obstacle" ] ||
      fail "port $PORT of the forward '$NAME' $obstacle; end that, or choose another remotePort ('auto' finds a free one)"
    own port "$LISTEN:$PORT"
    printf 'port %s %s\n' "$NAME" "$PORT"
    PORT_OF_EACH="${PORT_OF_EACH}s/@$NAME@/$PORT/g;"
  done
}

# The port that an earlier run chose, if it still is in the range.
kept_port() {
  printf '%s' "$RECORDED" | awk -F "$TAB" -v name="$1" -v address="$2" -v first="$3" -v last="$4" '
    $1 == "auto" { split($2, part, " ") }
    $1 == "auto" && part[1] == name && part[2] == address && part[3] >= first + 0 && part[3] <= last + 0 { print part[3]; exit }'
}

# The first free port from START on, round the end of the range.
free_port() {
  local port left
  port=$3
  left=$(($5 - $4 + 1))
  while [ "$left" -gt 0 ]; do
    if [ -z "$(obstacle "$2" "$port")" ]; then
      printf '%s' "$port"
      return 0
    fi
    port=$((port + 1))
    [ "$port" -le "$5" ] || port=$4
    left=$((left - 1))
  done
  fail "no port from $4 to $5 is free for the forward '$1'; widen the public host's portRange"
}

# obstacle ADDRESS PORT — what keeps the tunnel from listening there, in words; nothing where it is free.
obstacle() {
  local record uid state recv send listener peer users pid name
  case $MARKED in *"port$TAB$1:$2$NL"*) printf 'is asked for twice by this tunnel' && return 0 ;; esac
  record=$(records_of_port "$1" "$2" | head -n 1)
  case $record in
    "") ;;
    "$STATE/$OWNER/"*)
      printf "belongs to another tunnel of this stack (%s); to move it here, or to rename that tunnel, remove it there with one 'pulumi up' and then add it here" "$(basename "$record")"
      return 0
      ;;
    *)
      printf "belongs to another tunnel (%s of %s)" "$(basename "$record")" "$(basename "$(dirname "$record")")"
      return 0
      ;;
  esac
  uid=$(id -u "$ACCOUNT" 2>/dev/null || echo none)
  # The kernel says whose a listener is. A look into its process would come too late, or too early, where the tunnel
  # connects just now: there is none that has it then.
  ss -Hltnpe "sport = :$2" | while read -r state recv send listener peer users; do
    : "$state$recv$send$peer"
    overlaps "${listener%:*}" "$1" || continue
    case " $users " in *" uid:$uid "*) continue ;; esac
    pid=$(printf '%s' "$users" | sed -n 's/.*pid=\([0-9]*\).*/\1/p')
    # Whoever runs it gives it its name.
    name=$(printf '%s' "$users" | sed -n 's/^users:(("\([^"]*\)".*/\1/p' | printable 1)
    printf 'is in use by %s (pid %s)' "${name:-a program that cannot be told}" "${pid:-unknown}"
    break
  done
}

# The other tunnels' records that claim the port: on the same address, or on all of them.
records_of_port() {
  local entry
  if [ "$1" = '*' ]; then
    [ ! -d "$STATE" ] || grep -rlE -- "^port${TAB}.*:$2\$" "$STATE" | grep -vxF -- "$RECORD" || :
  else
    for entry in "$1:$2" "*:$2"; do
      ! recorded_elsewhere port "$entry" || other_records_of port "$entry"
    done
  fi
}

# Whether a listener on $1 (as ss prints it) is in the way of one on $2.
overlaps() {
  case $1 in '*' | 0.0.0.0 | '[::]') return 0 ;; esac
  [ "$2" = '*' ] || [ "$1" = "$2" ] || [ "$1" = "[$2]" ]
}
