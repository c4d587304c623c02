# shellcheck shell=sh
# sshd on the public host, commit-confirmed: the new drop-in is checked, sshd reloads it, and a timer on the host puts
# the old one back after a minute, unless a *new* login has disarmed it. The same script runs twice: once to change,
# and once more over a new connection with CONFIRM=yes.
#   DROP_IN         text of the drop-in
#   ACCOUNTS        pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP           their group
#   ADMIN           the account of the admin connection
#   TAKEOVER        path of the program that tunnel keys may run, TAKEOVER_TEXT its text
#   CONFIRM         yes in the second run
MAIN=/etc/ssh/sshd_config
DROP_IN_DIR=/etc/ssh/sshd_config.d
DROP_IN_FILE=$DROP_IN_DIR/00-$OWNER.conf
ROLLBACK_UNIT=$OWNER-sshd-rollback
ROLLBACK_DIR=/var/lib/$OWNER-sshd-rollback
ROLLBACK_AT_BOOT=/etc/tmpfiles.d/$OWNER-sshd-rollback.conf
ROLLBACK_SECONDS=60
INCLUDE="Include $DROP_IN_FILE"

apply() {
  need_cmd sshd openssh-server
  need_cmd systemd-run systemd
  # Debian's sshd wants its privilege separation folder even for a check.
  [ -d /run/sshd ] || mkdir -m 755 /run/sshd
  sshd -t 2>/dev/null || fail "sshd's configuration has an error already, before any change: $(sshd -t 2>&1 | head -n 1); mend that first"
  make_dirs "$(dirname "$TAKEOVER")"
  write_file "$TAKEOVER" 755 0:0 "$TAKEOVER_TEXT"
  make_dirs "$DROP_IN_DIR"
  own_alone drop_in "$DROP_IN_FILE" "$([ ! -e "$DROP_IN_FILE" ] || echo yes)"
  text=$(drop_in_text)
  if in_place; then
    # Before the second run's own login, nothing has shown that one is possible.
    [ "$CONFIRM" != yes ] || disarm
    return 0
  fi
  arm
  included || add_line "$MAIN" 0:0 644 top "$INCLUDE"
  printf '%s\n' "$text" | put "$DROP_IN_FILE" 644 0:0 || { roll_back no-reload && exit 3; } # put has said why
  changed "wrote $DROP_IN_FILE"
  # sshd still runs with what it has loaded: a reload now could make a mistake of the administrator's own active.
  refusal=$(refusal) || roll_back_and_fail "the check of sshd's new configuration could not run" no-reload
  [ -z "$refusal" ] || roll_back_and_fail "$refusal" no-reload
  reload || roll_back_and_fail "sshd did not reload the new configuration"
  : >"$ROLLBACK_DIR/loaded"
  changed "reloaded sshd; the old configuration comes back in ${ROLLBACK_SECONDS}s unless a new login confirms this one"
  [ "$CONFIRM" != yes ] ||
    fail "the change to sshd had been taken back, since no new login confirmed it in time; it is active again for ${ROLLBACK_SECONDS}s: run 'pulumi up' again now to confirm it"
}

# Whether the drop-in is as wanted, and sshd has loaded it: an earlier run may have been killed before that.
in_place() {
  if included_by_line; then # where it is ours, keep it on record
    share created "$MAIN" yes
    share line "$MAIN${TAB}whole${TAB}$INCLUDE" yes
  fi
  [ -f "$DROP_IN_FILE" ] && printf '%s\n' "$text" | cmp -s - "$DROP_IN_FILE" && included &&
    { [ ! -d "$ROLLBACK_DIR" ] || [ -f "$ROLLBACK_DIR/loaded" ]; }
}

# Whether the main file includes the drop-ins' folder, or our drop-in.
included() { included_by_line || grep -qiE '^[[:space:]]*Include[[:space:]].*/?sshd_config\.d/\*(\.conf)?' "$MAIN"; }

included_by_line() { [ -n "$(line_number "$MAIN" "$INCLUDE")" ]; }

# The text for this very host: without what its sshd does not know yet, and with the tunnel accounts allowed where the
# administrator allows accounts by name. Ours then names the administrator's too: should that line go, nobody is locked out.
drop_in_text() {
  dt_allowed=$(own_allow_users)
  if [ -n "$dt_allowed" ] && ! printf '%s\n' "$DROP_IN" | grep -q '^AllowUsers '; then
    printf 'AllowUsers%s %s\n' "$dt_allowed" "$ACCOUNTS"
  fi
  if sshd_effective "$ADMIN" | grep -q '^unusedconnectiontimeout '; then
    printf '%s\n' "$DROP_IN"
  else
    printf '%s\n' "$DROP_IN" | sed '/UnusedConnectionTimeout/d'
  fi
}

# Whom the administrator's own AllowUsers name, outside of any Match.
own_allow_users() {
  # shellcheck disable=SC2046  # file names without spaces, one a line
  awk '
    FNR == 1 { match_block = 0; managed = /^# Managed by ssh-reverse-tunnel/ || /^AllowUsers .*tunnel-\*$/ }
    tolower($1) == "match" { match_block = 1 }
    !managed && !match_block && tolower($1) == "allowusers" { $1 = ""; printf "%s", $0 }' "$MAIN" $(other_drop_ins)
}

other_drop_ins() {
  for od_file in "$DROP_IN_DIR"/*.conf; do
    case $od_file in
      "$DROP_IN_FILE" | "$DROP_IN_DIR/*.conf") ;;
      *) printf '%s\n' "$od_file" ;;
    esac
  done
}

# What speaks against the configuration that is on disk now, in words; nothing where it is good. A reload also makes
# active what the administrator wrote and has not loaded yet.
refusal() {
  re_refusal=$(lock_out)
  if [ -n "$re_refusal" ]; then
    printf '%s' "$re_refusal"
    return 0
  fi
  re_effective=$(sshd_effective "${ACCOUNTS%\*}x")
  re_allow=$(effective allowusers)
  re_groups=$(effective allowgroups)
  if [ -n "$re_groups" ] && ! matches "$GROUP" "$re_groups"; then
    printf "sshd's AllowGroups keeps the tunnel accounts out; add the group '%s' to it in %s" "$GROUP" "$(source_of AllowGroups)"
  elif [ -n "$re_allow" ] && ! matches "${ACCOUNTS%\*}x" "$re_allow"; then
    printf "sshd's AllowUsers keeps the tunnel accounts out; add '%s' to it in %s" "$ACCOUNTS" "$(source_of AllowUsers)"
  fi
}

# What would keep the admin out, in words.
lock_out() {
  if ! sshd -t 2>/dev/null; then
    printf 'sshd -t refuses the new configuration: %s' "$(sshd -t 2>&1 | head -n 1)"
    return 0
  fi
  # shellcheck disable=SC2046  # three words
  re_effective=$(sshd_effective "$ADMIN" $(admin_connection))
  re_by="would lock out the admin '$ADMIN' at the next reload"
  re_allow=$(effective allowusers)
  re_groups=$(effective allowgroups)
  if [ -n "$re_allow" ] && ! matches "$ADMIN" "$re_allow"; then
    printf "AllowUsers %s; add '%s' to it: in allowUsers of the settings, or where %s says AllowUsers" "$re_by" "$ADMIN" "$(source_of AllowUsers)"
  elif matches "$ADMIN" "$(effective denyusers)"; then
    printf "DenyUsers %s; take '%s' out of it in %s" "$re_by" "$ADMIN" "$(source_of DenyUsers)"
  elif [ -n "$re_groups" ] && ! one_matches "$(id -Gn "$ADMIN")" "$re_groups"; then
    printf "AllowGroups %s; add a group of '%s' to it in %s" "$re_by" "$ADMIN" "$(source_of AllowGroups)"
  elif one_matches "$(id -Gn "$ADMIN")" "$(effective denygroups)"; then
    printf "DenyGroups %s; take the groups of '%s' out of it in %s" "$re_by" "$ADMIN" "$(source_of DenyGroups)"
  elif [ "$ADMIN" = root ] && [ "$(effective permitrootlogin)" = no ]; then
    printf 'PermitRootLogin no %s; change it in %s, or let another account be the admin' "$re_by" "$(source_of PermitRootLogin)"
  fi
}

# Where the admin comes from and arrives, since a Match may ask: address, local address, local port. sudo takes the
# variable away and still has it from its own start.
admin_connection() {
  ac_connection=${SSH_CONNECTION-}
  [ -n "$ac_connection" ] ||
    ac_connection=$(tr '\0' '\n' <"/proc/$PPID/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p') || :
  printf '%s' "${ac_connection:-127.0.0.1 0 127.0.0.1 22}" | cut -d' ' -f1,3,4
}

# effective KEYWORD — its values for the admin, from what sshd -T says.
effective() { printf '%s\n' "$re_effective" | sed -n "s/^$1 //p"; }

# source_of KEYWORD — the files that hold it, for a message.
source_of() {
  # shellcheck disable=SC2046  # file names without spaces, one a line
  so_files=$(grep -lisE "^[[:space:]]*$1[[:space:]=]" $(other_drop_ins) "$MAIN" | paste -sd ' ' -)
  printf '%s' "${so_files:-$MAIN}"
}

# matches NAME PATTERNS — sshd's patterns; the host part of user@host is left to the login that confirms.
matches() {
  set -f
  for ma_pattern in $2; do
    # shellcheck disable=SC2254  # a pattern it is
    case $1 in ${ma_pattern%%@*}) set +f && return 0 ;; esac
  done
  set +f
  return 1
}

# one_matches NAMES PATTERNS
one_matches() {
  for om_name in $1; do
    if matches "$om_name" "$2"; then return 0; fi
  done
  return 1
}

# sshd is "ssh" on Debian and Ubuntu, "sshd" elsewhere. Behind a socket it may not run at all, and reads its
# configuration when it starts. Where ExecReload is a bare signal, a mistake in the file would end sshd.
reload() {
  sshd -t 2>/dev/null || return 1
  for rl_unit in ssh.service sshd.service; do
    if systemctl is-active --quiet "$rl_unit"; then
      systemctl reload "$rl_unit" && systemctl is-active --quiet "$rl_unit"
      return
    fi
  done
}

# The rollback, for this run to call, for the timer, and, where the host is switched off before it fires, for the next
# boot. A backup that is there already is of the configuration that last worked, and is kept.
arm() {
  systemctl stop "$ROLLBACK_UNIT.timer" 2>/dev/null || :
  if [ ! -d "$ROLLBACK_DIR" ]; then
    mkdir -m 700 "$ROLLBACK_DIR" || cannot "create $ROLLBACK_DIR" "$ROLLBACK_DIR"
    [ ! -f "$DROP_IN_FILE" ] || cp -a "$DROP_IN_FILE" "$ROLLBACK_DIR/drop-in" || { disarm && cannot "write $ROLLBACK_DIR" "$ROLLBACK_DIR"; }
    included || : >"$ROLLBACK_DIR/include-is-ours"
  fi
  rm -f "$ROLLBACK_DIR/loaded"
  cat >"$ROLLBACK_DIR/roll-back" <<EOF || { disarm && cannot "write $ROLLBACK_DIR" "$ROLLBACK_DIR"; }
rm -f '$DROP_IN_FILE'
[ ! -f '$ROLLBACK_DIR/drop-in' ] || cp -a '$ROLLBACK_DIR/drop-in' '$DROP_IN_FILE'
[ ! -f '$ROLLBACK_DIR/include-is-ours' ] || sed -i '\|^$INCLUDE\$|d' '$MAIN'
rm -rf '$ROLLBACK_DIR' '$ROLLBACK_AT_BOOT'
[ "\${1-}" != no-reload ] || exit 0
sshd -t || exit 1
for unit in ssh.service sshd.service; do
  ! systemctl is-active --quiet \$unit || { systemctl reload-or-restart \$unit && break; }
done
echo 'ssh-reverse-tunnel: no new login confirmed the change to sshd; the old configuration is back' >&2
EOF
  {
    printf 'r! %s\n' "$DROP_IN_FILE"
    [ ! -f "$ROLLBACK_DIR/drop-in" ] || printf 'C! %s - - - - %s\n' "$DROP_IN_FILE" "$ROLLBACK_DIR/drop-in"
  } >"$ROLLBACK_AT_BOOT" || { disarm && cannot "write $ROLLBACK_AT_BOOT" "$ROLLBACK_AT_BOOT"; }
  systemd-run --quiet --collect --unit "$ROLLBACK_UNIT" --on-active "$ROLLBACK_SECONDS" --timer-property AccuracySec=1s \
    /bin/sh "$ROLLBACK_DIR/roll-back" || { disarm && fail "cannot arm the rollback with systemd-run; nothing was changed"; }
}

disarm() {
  systemctl stop "$ROLLBACK_UNIT.timer" 2>/dev/null || :
  if [ -d "$ROLLBACK_DIR" ]; then
    rm -rf -- "$ROLLBACK_DIR" "$ROLLBACK_AT_BOOT"
    [ "$CONFIRM" != yes ] || changed "confirmed sshd's new configuration by a new login"
  fi
}

roll_back() {
  [ ! -f "$ROLLBACK_DIR/roll-back" ] || sh "$ROLLBACK_DIR/roll-back" "${1-}" 2>/dev/null || :
  systemctl stop "$ROLLBACK_UNIT.timer" 2>/dev/null || :
}

# roll_back_and_fail SENTENCE [no-reload]
roll_back_and_fail() {
  roll_back "${2-}"
  fail "$1; the old configuration is back"
}

undo_drop_in() {
  CONFIRM=no
  disarm
  rm -f -- "$(temporary_of "$1")"
  [ -e "$1" ] || return 0
  rm -f -- "$1"
  changed "removed $1"
  RELOAD=yes
}

RELOAD=
after_sweep() {
  [ -n "$RELOAD" ] || return 0
  as_lock_out=$(lock_out) || as_lock_out="the check of sshd's configuration could not run"
  if [ -n "$as_lock_out" ]; then
    warn "sshd was not reloaded, since $as_lock_out"
  else
    reload || fail "sshd did not reload after the drop-in was removed; see 'journalctl -u ssh -u sshd'"
  fi
}

main "$@"
