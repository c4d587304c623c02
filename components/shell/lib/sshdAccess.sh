# shellcheck shell=sh
# Who may log in by the configuration of sshd that is on disk, in words for a message. A reload makes that active, with
# everything that the administrator has written and not loaded yet.
#   ADMIN     the account of the admin connection
#   ACCOUNTS  pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP     their group
DROP_IN_DIR=/etc/ssh/sshd_config.d
DROP_IN_FILE=$DROP_IN_DIR/00-$OWNER.conf
INCLUDE="Include $DROP_IN_FILE"

# find_main — sets MAIN, the file that sshd begins with. Where it does not exist, the distribution's own is in effect: on
# openSUSE that is in /usr/etc/ssh.
find_main() {
  find_daemon
  MAIN=$(printf '%s\n' "$DAEMON_OPTIONS" | sed -n '/^-f$/{n;p;}')
  MAIN=${MAIN:-/etc/ssh/sshd_config}
}

# refusal — prints what speaks against that configuration; nothing if it is good.
refusal() {
  local lock_out
  lock_out=$(lock_out) || return 1
  if [ -n "$lock_out" ]; then
    printf '%s' "$lock_out"
    return 0
  fi
  EFFECTIVE=$(sshd_effective "$(a_tunnel_account)") || return 1
  # shellcheck disable=SC2153  # the pattern, and no account
  case $(printf '%s\n' "$EFFECTIVE" | kept_out "${ACCOUNTS%\*}x" "$GROUP" '' '') in
    denyusers) printf "sshd's DenyUsers keeps the tunnel accounts out; take '%s' out of it in %s" "$ACCOUNTS" "$(source_of DenyUsers)" ;;
    denygroups) printf "sshd's DenyGroups keeps the tunnel accounts out; take the group '%s' out of it in %s" "$GROUP" "$(source_of DenyGroups)" ;;
    allowgroups) printf "sshd's AllowGroups keeps the tunnel accounts out; add the group '%s' to it in %s" "$GROUP" "$(source_of AllowGroups)" ;;
    *) if is_read; then other_than_ours; else not_read; fi ;;
  esac
}

# is_read — whether sshd reads our drop-in for tunnel accounts, wherever they come from: its AllowUsers name ":OWNER", which
# is no account. By anything else, it could be the drop-in of another stack.
is_read() {
  local account address
  account=$(a_tunnel_account)
  for address in 127.0.0.1 192.0.2.1 2001:db8::1; do
    case $NL$(sshd_effective "$account" "$address")$NL in
      *"${NL}allowusers :$OWNER$NL"*) ;;
      *) return 1 ;;
    esac
  done
}

not_read() {
  if [ -f "$MAIN" ]; then
    printf "sshd does not read our drop-in for all tunnel accounts, although %s includes it; move its line '%s' to the top, above every Match" "$MAIN" "$INCLUDE"
  else
    printf "sshd does not read our drop-in: there is no %s, and the file that sshd reads instead does not include %s; make one that includes both" "$MAIN" "$DROP_IN_FILE"
  fi
}

# other_than_ours — prints which values EFFECTIVE, that of a tunnel account, has other than those of our drop-in: a Match that
# comes first wins. How soon a silent session ends is not a matter of safety, and each stack decides that. Of the timeouts,
# which not every sshd knows, another ChannelTimeout counts only if it ends connections through a tunnel, and our "none" for
# UnusedConnectionTimeout wins wherever it is.
other_than_ours() {
  local keywords
  keywords=$({
    printf '%s\n' "$DROP_IN" | sed -n '/AllowUsers\|ClientAlive\|Timeout/!s/^  *//p' | with_lower_keywords |
      grep -vxF -e "$EFFECTIVE" || :
    case $(ssh -V 2>&1) in
      OpenSSH_[1-9].* | OpenSSH_10.[0-4][!0-9]*) ;; # see warn_of_channel_timeout
      *) [ -z "$(printf '%s\n' "$EFFECTIVE" | idle_limit)" ] || echo channeltimeout ;;
    esac
  } | cut -d' ' -f1 | paste -sd '|' -)
  [ -z "$keywords" ] ||
    printf "sshd gives the tunnel accounts another value of %s than our drop-in, since a Match before it says so; let that Match leave '%s' out, or, where another stack wrote it, run 'pulumi up' of that one first: it is in %s" \
      "$(printf '%s' "$keywords" | sed 's/|/, /g')" "$ACCOUNTS" "$(source_of "($keywords)")"
}

# idle_limit <settings of sshd -T — the word of ChannelTimeout that ends an idle connection through a tunnel; nothing if none
# does. Of its words, "type=interval", the first whose pattern fits counts, and "global" is for all types together.
idle_limit() {
  local word first all
  first=
  all=
  set -f
  # shellcheck disable=SC2013  # words they are
  for word in $(sed -n 's/^channeltimeout //p'); do
    case $word in global=*) all=$word ;; esac
    # shellcheck disable=SC2194,SC2254  # a pattern it is
    case forwarded-tcpip in ${word%%=*}) first=${first:-$word} ;; esac
  done
  set +f
  for word in $first $all; do
    case ${word#*=} in 0 | 0[a-zA-Z]) ;; *) printf '%s' "$word" && return 0 ;; esac
  done
}

# An account that exists, since a Match may ask for its group; otherwise any such name.
a_tunnel_account() {
  local name
  name=$(getent passwd | cut -d: -f1 | grep "^${ACCOUNTS%\*}" | head -n 1) || :
  printf '%s' "${name:-${ACCOUNTS%\*}x}"
}

# lock_out — prints what would keep the admin out. Sets EFFECTIVE for that login: by where the admin comes from and arrives,
# since a Match may ask for that. Outside of a session, nobody knows.
lock_out() {
  local by
  if ! ask_sshd -t 2>/dev/null; then
    printf 'sshd -t refuses the new configuration: %s' "$(ask_sshd -t 2>&1 | head -n 1)"
    return 0
  fi
  # shellcheck disable=SC2046  # four words: address and port of the client, and ours
  set -- $(ssh_connection)
  if [ $# = 4 ] && is_other_server "$3" "$4"; then return 0; fi
  find_effective "$ADMIN" "${1-127.0.0.1}" "${3-127.0.0.1}" "${4-22}" || return 1
  by="would lock out the admin '$ADMIN' at the next reload"
  case $(printf '%s\n' "$EFFECTIVE" | kept_out "$ADMIN" "$(groups_of_user "$ADMIN")" "${1-}" "$FROM_HOST") in
    allowusers) printf "AllowUsers %s; add '%s' to it: in allowUsers of the settings, or where %s says AllowUsers" "$by" "$ADMIN" "$(source_of AllowUsers)" ;;
    denyusers) printf "DenyUsers %s; take '%s' out of it in %s" "$by" "$ADMIN" "$(source_of DenyUsers)" ;;
    allowgroups) printf "AllowGroups %s; add a group of '%s' to it in %s" "$by" "$ADMIN" "$(source_of AllowGroups)" ;;
    denygroups) printf "DenyGroups %s; take the groups of '%s' out of it in %s" "$by" "$ADMIN" "$(source_of DenyGroups)" ;;
    *)
      if [ "$ADMIN" = root ] && [ "$(values_of permitrootlogin)" = no ]; then
        printf 'PermitRootLogin no %s; change it in %s, or let another account be the admin' "$by" "$(source_of PermitRootLogin)"
      elif [ $# = 4 ] && ! listens_at "$4"; then
        printf "the ports in sshd's configuration would lock out the admin '%s', who arrives at port %s, at the next reload; add 'Port %s' in %s" \
          "$ADMIN" "$4" "$4" "$(source_of '(Port|ListenAddress)')"
      fi
      ;;
  esac
}

# find_effective USER ADDRESS LOCAL_ADDRESS LOCAL_PORT — sets EFFECTIVE for that login, and FROM_HOST to what sshd takes the
# client's name to be: with UseDNS, that of its address.
find_effective() {
  FROM_HOST=$2
  EFFECTIVE=$(sshd_effective "$@") || return 1
  [ "$(values_of usedns)" = yes ] || return 0
  FROM_HOST=$(getent hosts "$2" | awk '{ print $2; exit }')
  FROM_HOST=${FROM_HOST:-$2}
  EFFECTIVE=$(sshd_effective "$@" "$FROM_HOST")
}

# listens_at PORT — by EFFECTIVE. If a socket of systemd listens and is not restarted, sshd's own ports do not matter.
listens_at() {
  [ -n "$MOVE_SOCKET" ] || ! has_socket || return 0
  values_of listenaddress | grep -qxE ".*:$1"
}

# is_other_server ADDRESS PORT — whether what listens there is not the sshd that would reload, nor systemd for it, but
# perhaps another sshd: no reload changes its logins. Behind a socket of systemd, sshd itself need not run.
is_other_server() {
  local ours found listener pids
  ours=$DAEMON
  [ -n "$ours" ] || ! has_socket || ours=1
  [ -n "$ours" ] || return 1
  found=$(list_sockets -p "sport = :$2" | while read -r listener _ _ pids _; do
    ! overlap "$listener" "$1" || printf '%s\n' "$pids"
  done | tr ',' '\n' | sed '/^$/d')
  [ -n "$found" ] && ! printf '%s\n' "$found" | grep -qxE "1|$ours"
}

# has_socket — whether a socket of systemd listens for sshd.
has_socket() { systemctl is-active --quiet ssh.socket sshd.socket; }

# Ubuntu's socket listens where sshd's configuration says: a reload of systemd starts this generator, which reads that.
SOCKET_GENERATOR=/usr/lib/systemd/system-generators/sshd-socket-generator
# The drop-in's lines for another port come after it.
PORT_MARK='# Listens also at port'
MOVE_SOCKET=

# follows_sshd — whether such a socket listens, and a restart of it restarts sshd, too.
follows_sshd() {
  [ -x "$SOCKET_GENERATOR" ] && systemctl is-active --quiet ssh.socket &&
    systemctl show --property RequiredBy --value ssh.socket | grep -qwF ssh.service
}

# know_socket PORT — sets MOVE_SOCKET if the drop-in has another port, or gets PORT, which may be empty, and only a restart
# of the socket has that heeded.
know_socket() {
  MOVE_SOCKET=
  if [ -n "$1" ] || grep -qs "^$PORT_MARK " "$DROP_IN_FILE"; then
    ! follows_sshd || MOVE_SOCKET=yes
  fi
}

# values_of KEYWORD — in EFFECTIVE, which is what sshd -T says.
values_of() { printf '%s\n' "$EFFECTIVE" | sed -n "s/^$1 //p"; }

# source_of KEYWORD — the files that hold it, for a message.
source_of() {
  local keyword file files
  keyword=$1
  set -- "$MAIN"
  [ -f "$MAIN" ] || set -- /usr/etc/ssh/sshd_config
  for file in "$DROP_IN_DIR"/*.conf; do [ "$file" = "$DROP_IN_FILE" ] || set -- "$@" "$file"; done
  files=$(grep -lisE "^[[:space:]]*\"?$keyword\"?[[:space:]=]" -- "$@" | paste -sd ' ' -)
  printf '%s' "${files:-$1}"
}

# sshd is "ssh" on Debian and Ubuntu, and "sshd" elsewhere. Behind a socket it may not run at all, and reads its
# configuration when it starts. If it does run, its listener comes from the socket, and a reload loses it: sshd would end,
# or listen on another port. Its sessions outlive a restart. If ExecReload is a bare signal, a mistake in the file would end
# sshd.
reload_sshd() {
  local unit how
  ask_sshd -t 2>/dev/null || return 1
  if [ -n "$MOVE_SOCKET" ]; then
    systemctl daemon-reload && systemctl restart ssh.socket
    return
  fi
  for unit in ssh sshd; do
    if systemctl is-active --quiet "$unit.service"; then
      how=reload
      ! systemctl is-active --quiet "$unit.socket" || how=restart
      systemctl "$how" "$unit.service" && systemctl is-active --quiet "$unit.service"
      return
    fi
  done
}

# stacks_served_by PROGRAM — the other stacks whose tunnels have keys that run this program of ours, one a line.
stacks_served_by() {
  local file
  grep -lsF "command=\"$1\"" /etc/ssh/ssh-reverse-tunnel/*.keys | while IFS= read -r file; do
    find_records ! -path "$STATE/$OWNER/*" -exec grep -lF "key$TAB$file$TAB" {} +
  done | sed "s|^$STATE/||; s|/.*||" | sort -u
}

# print_evict_stale — where this stack has put that program, by its records.
print_evict_stale() {
  find_records -path "$STATE/$OWNER/*" -exec sed -n "s|^file$TAB\(/.*/bin/evict-stale\)\$|\1|p" {} +
}

# sessions_at PORT — the accounts with a session that came in there, one a line.
sessions_at() {
  local pid uid
  ss -Htnp state established "sport = :$1" 2>/dev/null | grep -o 'pid=[0-9]*' | cut -c5- | while read -r pid; do
    awk '$1 == "Uid:" { print $2 }' "/proc/$pid/status" 2>/dev/null || :
  done | sort -u | while read -r uid; do getent passwd "$uid" || :; done | cut -d: -f1
}

# others_at PORT — of those accounts, the tunnels' of other stacks.
others_at() {
  local account
  sessions_at "$1" | while IFS= read -r account; do
    [ -z "$(find_records ! -path "$STATE/$OWNER/*" -exec grep -lxF "user$TAB$account" {} +)" ] || printf '%s\n' "$account"
  done
}

# others_listen_at PORT — whether the drop-in of another stack has sshd listen there, too.
others_listen_at() {
  local file
  for file in "$DROP_IN_DIR"/*.conf; do
    if [ "$file" != "$DROP_IN_FILE" ] && grep -qsx "$PORT_MARK $1" "$file"; then return 0; fi
  done
  return 1
}

# refuse_while_serving — ends a removal that would cut the tunnels of other stacks. If SERVES is a port that sshd no longer
# listens on for this stack, only those need it that come in there.
refuse_while_serving() {
  local file port users
  users=$(print_evict_stale | while IFS= read -r file; do stacks_served_by "$file"; done | sort -u | paste -sd ' ' -)
  port=$(sed -n "s/^$PORT_MARK //p" "$DROP_IN_FILE" 2>/dev/null) || :
  [ -z "$users" ] || { [ "$SERVES" != yes ] && [ "$SERVES" != "$port" ]; } ||
    fail "tunnels of other stacks come in by what this stack manages here, and would be cut: $users; sshd stays as it is: run 'pulumi destroy' in them first, or let another stack manage this host for them ('managedBy'); to have the rest of this stack again, run 'pulumi up' here"
  [ "$SERVES" = yes ] || port=$SERVES
  [ -n "$port" ] && ! others_listen_at "$port" || return 0
  users=$(others_at "$port" | paste -sd ' ' -)
  [ -z "$users" ] ||
    fail "tunnels of other stacks still come in at port $port, which this would close: $users; it stays open: run 'pulumi up' in those stacks so that they come in at another port, or let the stack that manages this host for them listen there ('listenOnSshPort')"
}

DROP_IN_REMOVED=
kind drop_in OUR_FILE
undo_drop_in() {
  [ -e "$1" ] || return 0
  know_socket ''
  rm -f -- "$1"
  changed "removed $1"
  DROP_IN_REMOVED=yes
}

sshd_after_sweep() {
  local lock_out
  [ -n "$DROP_IN_REMOVED" ] || return 0
  find_main
  lock_out=$(lock_out) || lock_out="the check of sshd's configuration could not run"
  if [ -n "$lock_out" ]; then
    warn "sshd was not reloaded, since $lock_out"
  else
    reload_sshd || fail "sshd did not reload after the drop-in was removed; see 'journalctl -u ssh -u sshd'"
  fi
}
