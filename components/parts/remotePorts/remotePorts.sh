# shellcheck shell=sh
# The ports that a tunnel's forwards listen on: free, or held by this very tunnel, and promised to no other.
# Prints "port NAME PORT" for each.
#   ACCOUNT   the tunnel's account, whose own listeners are no obstacle
#   FORWARDS  each as in forwards.sh; the port of one that the host chooses is "auto:START"
#   RANGE     first and last port for those
#   ADMIN_PORT INSIDE  the port here by which Pulumi reaches the internal host, and its name; not set unless it comes this way
apply() {
  local family forward start obstacle
  know_daemon
  family=$(sshd_effective "$ACCOUNT" | sed -n 's/^addressfamily //p')
  for forward in $FORWARDS; do
    split_forward "$forward"
    case $LISTEN in
      loopback) LISTEN=127.0.0.1 ;;
      all) LISTEN='*' ;;
    esac
    # sshd_config(5), AddressFamily: it is for forwards, too.
    case $family,$LISTEN in
      inet,*:* | inet6,'*' | inet6,*.*)
        fail "the forward '$NAME' cannot listen on $LISTEN, since sshd here has 'AddressFamily $family'; choose another address for it, or change that in sshd's configuration and run 'pulumi up' again"
        ;;
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
    [ -z "$obstacle" ] || refuse_port "$obstacle"
    own port "$LISTEN:$PORT"
    printf 'port %s %s\n' "$NAME" "$PORT"
    PORT_OF_EACH="${PORT_OF_EACH}s/@$NAME@/$PORT/g;"
  done
}

# refuse_port OBSTACLE — what a tunnel that somebody else has set up holds may be the only way to its host.
refuse_port() {
  case $1 in
    "is held by "*)
      [ "${ADMIN_PORT-}" != "$PORT" ] ||
        fail "port $PORT of the forward '$NAME' $1, and Pulumi itself reaches $INSIDE through it; leave that as it is, choose another remotePort ('auto' finds a free one), and end it when you reach $INSIDE in another way (docs/moving-over.md)"
      fail "port $PORT of the forward '$NAME' $1; if that is your way to its host, choose another remotePort first ('auto' finds a free one), and end it when the new tunnel works (docs/moving-over.md); otherwise end it now"
      ;;
  esac
  fail "port $PORT of the forward '$NAME' $1; end that, or choose another remotePort ('auto' finds a free one)"
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
  local entry record uid listener port whose pids name first owner
  if [ -n "$(claim "$MARKED" "$1" "$2")" ]; then
    printf 'is asked for twice by this tunnel'
    return 0
  fi
  entry=$(claim "$OTHERS" "$1" "$2")
  if [ -n "$entry" ]; then
    record=$(other_records_of port "$entry" | head -n 1)
    case $record in
      "$STATE/$OWNER/"*)
        printf "belongs to another tunnel of this stack (%s); to move it here, or to rename that tunnel, remove it there with one 'pulumi up' and then add it here" "$(basename "$record")"
        ;;
      *)
        printf "belongs to another tunnel (%s of %s)" "$(basename "$record")" "$(basename "$(dirname "$record")")"
        ;;
    esac
    return 0
  fi
  uid=$(id -u "$ACCOUNT" 2>/dev/null || echo none)
  # The kernel says whose a listener is. A look into its process would come too late, or too early, where the tunnel
  # connects just now: there is none that has it then.
  list_sockets -p "sport = :$2" | while read -r listener port whose pids name; do
    overlap "$listener" "$1" && [ "$whose" != "$uid" ] || continue
    # Whoever runs it gives it its name.
    name=$(printf '%s' "$name" | printable 1)
    first=${pids%%,*}
    owner=$(account_of "$whose")
    case $name in
      sshd | sshd-session)
        printf "is held by a tunnel that '%s' has opened with ssh%s (%s, pid %s)" "$owner" "$(origin_of "$first" "$2")" "$name" "${first:-unknown}"
        ;;
      *) printf "is in use by %s (pid %s) of '%s'" "${name:-a program that cannot be told}" "${first:-unknown}" "$owner" ;;
    esac
    break
  done
}

# account_of UID — its name, or the number of one that has none.
account_of() {
  local entry
  entry=$(getent passwd "$1") || entry=$1
  printf '%s\n' "${entry%%:*}" | printable 1
}

# origin_of PID PORT — " from ADDRESS", where the connection of that sshd comes from: the first that it has open, apart from those
# that come through its listener at this port.
origin_of() {
  ss -Htnp state established 2>/dev/null | awk -v pid="pid=$1," -v port=":$2" '
    (at = index($0, pid)) && substr($3, length($3) - length(port) + 1) != port {
      fd = substr($0, at + length(pid))
      sub(/^fd=/, "", fd)
      if (first == "" || fd + 0 < first) { first = fd + 0; from = $4 }
    }
    END {
      sub(/:[0-9]*$/, "", from)
      gsub(/[][]|%.*|::ffff:/, "", from)
      if (from != "") printf " from %s", from
    }' | printable 1
}

# claim ENTRIES ADDRESS PORT — the first entry of a record that promises the port to a forward that is in the way.
claim() {
  local entry
  case $1 in *":$3$NL"*) ;; *) return 0 ;; esac
  printf '%s' "$1" | sed -n "s/^port$TAB\(.*:$3\)\$/\1/p" | while read -r entry; do
    overlap "${entry%:*}" "$2" || continue
    printf '%s' "$entry"
    break
  done
}
