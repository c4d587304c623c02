# shellcheck shell=sh
# Who may log in by the configuration of sshd that is on disk, in words for a message. A reload makes that active, with
# everything that the administrator has written and not loaded yet.
#   ADMIN     the account of the admin connection
#   ACCOUNTS  pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP     their group
MAIN=/etc/ssh/sshd_config
DROP_IN_DIR=/etc/ssh/sshd_config.d
DROP_IN_FILE=$DROP_IN_DIR/00-$OWNER.conf

# refusal — prints what speaks against that configuration; nothing if it is good.
refusal() {
  local lock_out allow groups
  lock_out=$(lock_out)
  if [ -n "$lock_out" ]; then
    printf '%s' "$lock_out"
    return 0
  fi
  # shellcheck disable=SC2153  # the pattern, and no account
  EFFECTIVE=$(sshd_effective "${ACCOUNTS%\*}x")
  allow=$(values_of allowusers)
  groups=$(values_of allowgroups)
  if [ -n "$groups" ] && ! matches "$GROUP" "$groups"; then
    printf "sshd's AllowGroups keeps the tunnel accounts out; add the group '%s' to it in %s" "$GROUP" "$(source_of AllowGroups)"
  elif [ -n "$allow" ] && ! matches "${ACCOUNTS%\*}x" "$allow"; then
    printf "sshd's AllowUsers keeps the tunnel accounts out; add '%s' to it in %s" "$ACCOUNTS" "$(source_of AllowUsers)"
  elif matches "${ACCOUNTS%\*}x" "$(values_of denyusers)"; then
    printf "sshd's DenyUsers keeps the tunnel accounts out; take '%s' out of it in %s" "$ACCOUNTS" "$(source_of DenyUsers)"
  elif matches "$GROUP" "$(values_of denygroups)"; then
    printf "sshd's DenyGroups keeps the tunnel accounts out; take the group '%s' out of it in %s" "$GROUP" "$(source_of DenyGroups)"
  else
    other_than_ours
  fi
}

# other_than_ours — prints which values sshd would give a tunnel account other than those of our drop-in: a Match that comes
# first wins. How soon a silent session ends is not a matter of safety, and each stack decides that.
other_than_ours() {
  local keywords
  EFFECTIVE=$(sshd_effective "$(a_tunnel_account)")
  keywords=$(printf '%s\n' "$DROP_IN" | sed -n '/ClientAlive\|UnusedConnection/!s/^  *//p' | with_lower_keywords |
    grep -vxF -e "$EFFECTIVE" | cut -d' ' -f1 | paste -sd '|' -) || :
  [ -z "$keywords" ] ||
    printf "sshd gives the tunnel accounts another value of %s than our drop-in, since a Match before it says so; let that Match leave '%s' out, or, where another stack wrote it, run 'pulumi up' of that one first: it is in %s" \
      "$(printf '%s' "$keywords" | sed 's/|/, /g')" "$ACCOUNTS" "$(source_of "($keywords)")"
}

# An account that exists, since a Match may ask for its group; otherwise any such name.
a_tunnel_account() {
  local name
  name=$(getent passwd | cut -d: -f1 | grep "^${ACCOUNTS%\*}" | head -n 1) || :
  printf '%s' "${name:-${ACCOUNTS%\*}x}"
}

# lock_out — prints what would keep the admin out.
lock_out() {
  local by allow groups
  if ! sshd -t 2>/dev/null; then
    printf 'sshd -t refuses the new configuration: %s' "$(sshd -t 2>&1 | head -n 1)"
    return 0
  fi
  EFFECTIVE=$(effective_for_admin)
  by="would lock out the admin '$ADMIN' at the next reload"
  allow=$(values_of allowusers)
  groups=$(values_of allowgroups)
  if [ -n "$allow" ] && ! matches "$ADMIN" "$allow"; then
    printf "AllowUsers %s; add '%s' to it: in allowUsers of the settings, or where %s says AllowUsers" "$by" "$ADMIN" "$(source_of AllowUsers)"
  elif matches "$ADMIN" "$(values_of denyusers)"; then
    printf "DenyUsers %s; take '%s' out of it in %s" "$by" "$ADMIN" "$(source_of DenyUsers)"
  elif [ -n "$groups" ] && ! one_matches "$(id -Gn "$ADMIN")" "$groups"; then
    printf "AllowGroups %s; add a group of '%s' to it in %s" "$by" "$ADMIN" "$(source_of AllowGroups)"
  elif one_matches "$(id -Gn "$ADMIN")" "$(values_of denygroups)"; then
    printf "DenyGroups %s; take the groups of '%s' out of it in %s" "$by" "$ADMIN" "$(source_of DenyGroups)"
  elif [ "$ADMIN" = root ] && [ "$(values_of permitrootlogin)" = no ]; then
    printf 'PermitRootLogin no %s; change it in %s, or let another account be the admin' "$by" "$(source_of PermitRootLogin)"
  elif ! listens_where_admin_arrives; then
    printf "the ports in sshd's configuration would lock out the admin '%s', who arrives at port %s, at the next reload; add 'Port %s' in %s" \
      "$ADMIN" "$ADMIN_PORT" "$ADMIN_PORT" "$(source_of '(Port|ListenAddress)')"
  fi
}

# listens_where_admin_arrives — sets ADMIN_PORT. If a socket of systemd listens, sshd's own ports do not matter; without a
# connection of the admin, nobody knows.
listens_where_admin_arrives() {
  # shellcheck disable=SC2046  # four words
  set -- $(ssh_connection)
  [ $# = 4 ] || return 0
  ADMIN_PORT=$4
  ! systemctl is-active --quiet ssh.socket sshd.socket || return 0
  values_of listenaddress | grep -qxE ".*:$ADMIN_PORT"
}

# By where the admin comes from and arrives, since a Match may ask for that: address and name, local address, local port.
effective_for_admin() {
  local address host
  # shellcheck disable=SC2046  # four words
  set -- $(ssh_connection)
  address=${1-127.0.0.1}
  EFFECTIVE=$(sshd_effective "$ADMIN" "$address" "${3-127.0.0.1}" "${4-22}") || return 1
  if [ "$(values_of usedns)" = yes ]; then
    host=$(getent hosts "$address" | awk '{ print $2; exit }')
    EFFECTIVE=$(sshd_effective "$ADMIN" "$address" "${3-127.0.0.1}" "${4-22}" "${host:-$address}") || return 1
  fi
  printf '%s\n' "$EFFECTIVE"
}

# values_of KEYWORD — in EFFECTIVE, which is what sshd -T says.
values_of() { printf '%s\n' "$EFFECTIVE" | sed -n "s/^$1 //p"; }

# source_of KEYWORD — the files that hold it, for a message.
source_of() {
  local files
  files=$(with_drop_ins grep -lisE "^[[:space:]]*\"?$1\"?[[:space:]=]" "$MAIN" | paste -sd ' ' -)
  printf '%s' "${files:-$MAIN}"
}

# with_drop_ins COMMAND… — runs it with the names of all drop-ins but ours as its last arguments, whatever they are called.
with_drop_ins() {
  local file
  for file in "$DROP_IN_DIR"/*.conf; do
    [ "$file" = "$DROP_IN_FILE" ] || [ ! -f "$file" ] || set -- "$@" "$file"
  done
  "$@"
}

# matches NAME PATTERNS — sshd's patterns. Whether the host in user@host matches is left to the login that confirms.
matches() {
  local pattern
  set -f
  for pattern in $2; do
    # shellcheck disable=SC2254  # a pattern it is
    case $1 in ${pattern%%@*}) set +f && return 0 ;; esac
  done
  set +f
  return 1
}

# one_matches NAMES PATTERNS
one_matches() {
  local name
  for name in $1; do
    if matches "$name" "$2"; then return 0; fi
  done
  return 1
}

# sshd is "ssh" on Debian and Ubuntu, and "sshd" elsewhere. Behind a socket it may not run at all, and reads its
# configuration when it starts. If it does run, its listener comes from the socket, and a reload loses it: sshd would end,
# or listen on another port. Its sessions outlive a restart. If ExecReload is a bare signal, a mistake in the file would end
# sshd.
reload_sshd() {
  local unit how
  sshd -t 2>/dev/null || return 1
  for unit in ssh sshd; do
    if systemctl is-active --quiet "$unit.service"; then
      how=reload
      ! systemctl is-active --quiet "$unit.socket" || how=restart
      systemctl "$how" "$unit.service" && systemctl is-active --quiet "$unit.service"
      return
    fi
  done
}

DROP_IN_REMOVED=
kind drop_in OUR_FILE
undo_drop_in() {
  [ -e "$1" ] || return 0
  rm -f -- "$1"
  changed "removed $1"
  DROP_IN_REMOVED=yes
}

sshd_after_sweep() {
  local lock_out
  [ -n "$DROP_IN_REMOVED" ] || return 0
  lock_out=$(lock_out) || lock_out="the check of sshd's configuration could not run"
  if [ -n "$lock_out" ]; then
    warn "sshd was not reloaded, since $lock_out"
  else
    reload_sshd || fail "sshd did not reload after the drop-in was removed; see 'journalctl -u ssh -u sshd'"
  fi
}
