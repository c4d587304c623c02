# shellcheck shell=sh
# The internal host's end of a tunnel: the Host entry and the pinned host keys that it logs in with, its service and its
# watchdog. A tunnel that runs is changed on trial (trial.sh): the one that worked comes back unless the new one works. Where
# the admin comes through this very tunnel, a new login must show that, and the restart waits until this script is gone.
# Another key or other host keys need no restart: a login of its own shows that they work, and the connection, with all that
# goes through it, stays until it ends by itself.
#   ACCOUNT              that ssh runs as
#   FILE                 name of its files below ~/.ssh/ssh-reverse-tunnel
#   ALIAS FORWARDS       what the watchdog looks at: see shell/programs/watchdog.sh
#   ENTRY KEYS           texts of the Host entry and of the known_hosts file
#   PROGRAMS             folder of the programs; TUNNEL_PROGRAM NETWORK_PROGRAM WATCHDOG_PROGRAM their texts
#   SERVICE              ssh-tunnel-<name>; SERVICE_UNIT CHECK_UNIT TIMER_UNIT texts of the units; "@made@" in that of the
#                        check stands for when the key was made
#   STATUS_PROGRAM …     see status.sh
#   SECONDS_TO_WAIT      for the changed tunnel to work
#   PROXY_PROGRAM        text of the program that leads through a proxy or a jump host; empty without one
#   PROXY                text of the file with the proxy and what it is told; empty for a jump host
#   ADVICE               what to do if a jump host refuses the tunnel's key
PROXY_PROGRAM=${PROXY_PROGRAM-}
PROXY=${PROXY-}
ADVICE=${ADVICE-}
WATCHDOG=$SERVICE-watchdog

apply() {
  local others
  need_cmd systemctl systemd
  ssh_folder "$ACCOUNT"
  ENTRY=$(known_to_ssh "$ENTRY")
  date_key
  others=
  if on_trial || is_running; then others=$(each_file print_if_other); fi
  find_effect "$others"
  # What cuts no connection needs no second visit.
  if [ -n "$STAYS" ]; then CONFIRM=now; else refuse_own_end "$others"; fi
  if [ -n "$others" ]; then
    change_on_trial
  elif ! on_trial; then
    must_run "$SERVICE.service"
    RESTART_TUNNEL=$RESTART
    must_run "$WATCHDOG.timer"
    RESTART_WATCHDOG=$RESTART
    write_all
    run_all
    [ -z "$PROXY_PROGRAM" ] || [ -z "$RESTART_TUNNEL" ] || find_way_out
    [ "$CONFIRM" != now ] || ! is_torn || end_torn_trial
  else
    write_all
    go_on_with_trial
  fi
  # What is stale is known by then: see wait_unlocked.
  on_trial || CHECKS_LAST="$CHECKS_LAST look_now"
  print_token # whatever has run here, the checks on the public host look again
}

# look_now — once the tunnel is there. One that does not come up fails the check on the public host, which waits for it longer.
# shellcheck disable=SC2016
look_now() {
  local seconds
  seconds=15
  [ "$SECONDS_TO_WAIT" -ge "$seconds" ] || seconds=$SECONDS_TO_WAIT
  works sh -c 'end=$(($(date +%s) + $1)); shift; until "$@" || [ "$(date +%s)" -ge "$end" ]; do sleep 0.2; done' sh "$seconds" || :
  check_now "$WATCHDOG.service"
}

# date_key — writes into the unit of the check when the key was made. The account can give its key another time, and a power cut
# can, so the first one that a run has found for this key stays.
date_key() {
  local key made
  made=
  if printf '%s\n' "$SERVICE_UNIT" | grep '^# key: ' | grep -qxFf - "$UNIT_DIR/$SERVICE.service" 2>/dev/null; then
    made=$(sed -n 's/^Environment=.* KEY_MADE=\([0-9]\{1,\}\)$/\1/p' "$UNIT_DIR/$WATCHDOG.service" 2>/dev/null) || made=
  fi
  if [ -z "$made" ]; then
    key=$(printf '%s\n' "$ENTRY" | sed -n 's/^ *IdentityFile .*\///p' | head -n 1)
    made=$(made_at "$FOLDER/$key") || made=
  fi
  CHECK_UNIT=$(printf '%s\n' "$CHECK_UNIT" | sed "s/@made@/$made/")
}

# find_effect CHANGES — sets STAYS to yes where a tunnel that works keeps its connection, since only its watchdog changes, or the
# key that it logs in with, or the host keys that it accepts; and PROVE to yes where a login has to show that those work.
find_effect() {
  local place
  STAYS='' PROVE=''
  [ -n "$1" ] && ! on_trial && [ -z "$(each_file print_if_restarts)" ] && works || return 0
  STAYS=yes
  while IFS= read -r place; do
    is_watchdogs "$place" || PROVE=yes
  done <<EOF
$1
EOF
}

is_watchdogs() { case $1 in "$PROGRAMS/watchdog" | "$UNIT_DIR/$WATCHDOG."*) ;; *) return 1 ;; esac }

print_if_restarts() {
  compare "$@"
  case $THERE in same | loose) return 0 ;; esac
  is_watchdogs "$1" || (suits_connection "$1" "$3") 2>/dev/null || printf '%s\n' "$1"
}

# suits_connection PLACE TEXT — whether the text makes no difference to a connection that was opened with what is there.
suits_connection() {
  case $1 in
    "$FOLDER/$FILE.known_hosts") ;;
    *)
      fetch "$1"
      [ "$(of_connection <"$FETCHED")" = "$(printf '%s\n' "$2" | of_connection)" ]
      ;;
  esac
}

of_connection() { grep -vE '^(#| *IdentityFile )'; }

# refuse_own_end CHANGES — a restart would end this very session, and there is no second visit that could confirm it.
refuse_own_end() {
  [ "$CONFIRM" = now ] && { [ -n "$1" ] || on_trial; } && comes_through_service "$SERVICE.service" || return 0
  fail "this session comes through the tunnel that is to be changed, and would end with it; nothing was changed: set 'throughTunnel' for this host, or let its address be one that does not lead through the tunnel, and run 'pulumi up' again"
}

# Also where systemd waits between two attempts of a tunnel that does not come up.
is_running() {
  recorded file "$UNIT_DIR/$SERVICE.service" || return 1
  case $(systemctl is-active "$SERVICE.service") in active | activating | reloading) ;; *) return 1 ;; esac
}

# What is on trial is written, by an earlier run or by the first of these two.
go_on_with_trial() {
  SWEEP=no
  if ! trial_is_active; then
    arm "$TRIAL_SECONDS" || roll_back_and_fail "cannot arm the rollback with systemd-run" script
    # The run was killed before that; or it happens right now, behind the session that changed the files.
    systemctl is-active --quiet "$TRIAL_UNIT-restart.service" || {
      is_about_login || RESTART_TUNNEL=yes
      RESTART_WATCHDOG=yes
      activate
    }
    [ "$CONFIRM" != yes ] ||
      fail_with "$TUNNEL_RESTARTS" "the tunnel is just being restarted with its new settings: run 'pulumi up' again now to confirm it"
  elif [ "$CONFIRM" = yes ]; then
    confirm
  fi
  [ "$CONFIRM" != now ] || confirm
}

# each_file ACTION — with place, mode and text of each.
each_file() {
  "$1" "$FOLDER/$FILE.known_hosts" 644 "$KEYS"
  "$1" "$FOLDER/$FILE.conf" 600 "$ENTRY"
  "$1" "$PROGRAMS/tunnel" 755 "$TUNNEL_PROGRAM"
  "$1" "$PROGRAMS/network" 755 "$NETWORK_PROGRAM"
  "$1" "$PROGRAMS/watchdog" 755 "$WATCHDOG_PROGRAM"
  [ -z "$PROXY_PROGRAM" ] || "$1" "$PROGRAMS/proxy" 755 "$PROXY_PROGRAM"
  [ -z "$PROXY" ] || "$1" "$FOLDER/$FILE.proxy" 600 "$PROXY"
  "$1" "$UNIT_DIR/$SERVICE.service" 644 "$SERVICE_UNIT"
  "$1" "$UNIT_DIR/$WATCHDOG.service" 644 "$CHECK_UNIT"
  "$1" "$UNIT_DIR/$WATCHDOG.timer" 644 "$TIMER_UNIT"
}

print_if_other() {
  compare "$@"
  case $THERE in same | loose) ;; *) printf '%s\n' "$1" ;; esac
}

print_place() { printf '%s\n' "$1"; }

# RESTART_TUNNEL and RESTART_WATCHDOG are not empty where it must be restarted.
RESTART_TUNNEL=
RESTART_WATCHDOG=

write_all() {
  add_line "$SSH_DIR/config" 600 "Include ssh-reverse-tunnel/*.conf"
  make_dirs "$PROGRAMS"
  each_file write_one
  let_systemd_run "$PROGRAMS/tunnel"
  write_status
}

write_one() {
  case $1 in
    "$UNIT_DIR/"*) write_unit "${1##*/}" "$3" ;;
    *) write_file "$@" ;;
  esac
  if is_watchdogs "$1"; then RESTART_WATCHDOG=$RESTART_WATCHDOG$WRITTEN; else RESTART_TUNNEL=$RESTART_TUNNEL$WRITTEN; fi
}

run_all() {
  run_unit "$SERVICE.service" "$RESTART_TUNNEL"
  [ -z "$RESTART_TUNNEL" ] || refuse_init "$SERVICE.service"
  run_unit "$WATCHDOG.timer" "$RESTART_WATCHDOG"
}

change_on_trial() {
  local place
  SWEEP=no
  # To try again at once would cut this connection once more.
  if [ "$CONFIRM" = yes ] && was_taken_back && comes_through_service "$SERVICE.service"; then
    fail "the tunnel did not come up with its new settings, or no new login came through it in ${TRIAL_SECONDS}s, and the old ones are back; correct the settings, or run 'pulumi up' again to try once more"
  fi
  set --
  while IFS= read -r place <&4; do set -- "$@" "$place"; done 4<<EOF
$(each_file print_place)
EOF
  accept_both
  begin_trial "$(undo_text)" "$@"
  if [ -n "$PROVE" ]; then : >"$TRIAL_DIR/login"; else rm -f -- "$TRIAL_DIR/login"; fi
  write_all
  [ -z "$STAYS" ] || RESTART_TUNNEL=
  activate
  confirm_later "the change to the tunnel"
  [ "$CONFIRM" != now ] || confirm
}

# is_about_login — whether what is on trial is only how the tunnel logs in.
is_about_login() { [ -e "$TRIAL_DIR/login" ]; }

# accept_both — if the public host has other host keys, those before are accepted as well until the new ones are proven: what
# comes back in a rollback must be able to connect too.
accept_both() {
  local place before
  place=$FOLDER/$FILE.known_hosts
  # shellcheck disable=SC2016
  ask "$place" sh -c '[ -f "$1" ] && [ ! -L "$1" ]' sh || return 0
  compare "$place" 644 "$KEYS"
  [ "$THERE" = other ] && (fetch "$place") 2>/dev/null || return 0
  fetch "$place"
  before=$(grep -vxF -e "$KEYS" -- "$FETCHED" | grep -E "^${KEYS%% *}([.]jump)? [a-z0-9@.-]+ [A-Za-z0-9+/=]+\$" | head -n 9) || :
  before=$KEYS${before:+$NL$before}
  compare "$place" 644 "$before"
  [ "$THERE" != same ] || return 0
  put "$place" 644 <<EOF
$before
EOF
  changed "added the new host keys to $place"
}

# For the rollback, which has put the files back.
undo_text() {
  local units
  units="$SERVICE.service $WATCHDOG.timer"
  [ -z "$STAYS" ] || units=$WATCHDOG.timer
  cat <<EOT
if [ "\$how" != files ]; then systemctl daemon-reload || not_done "systemd does not load the old units of $SERVICE"; fi
if [ "\$how" != files ] && [ "\$how" != boot ] && [ -z "\$failed" ]; then
  for unit in $units; do
    [ ! -e $UNIT_DIR/\$unit ] || restart_once \$unit || not_done "\$unit does not start again"
  done
  [ -n "\$failed" ] || echo 'ssh-reverse-tunnel: the change to $SERVICE was not confirmed; the old one is back' >&2
fi
EOT
}

# Restarts what changed: at once, or, where that would end this very session before it could report, right after it.
activate() {
  systemctl daemon-reload
  if [ -z "$RESTART_TUNNEL" ]; then
    run_all
    activated
    ! is_about_login || changed "the next login of the tunnel uses the new key and host keys; its connection stays as it is"
  elif comes_through_service "$SERVICE.service"; then
    systemctl restart "$WATCHDOG.timer"
    systemd-run --quiet --collect --unit "$TRIAL_UNIT-restart" /bin/sh -c \
      "while [ -d /proc/$$ ]; do sleep 0.1; done; sleep 0.5; [ -f $TRIAL_DIR/kept ] && systemctl restart $SERVICE.service && : >$TRIAL_DIR/active" ||
      roll_back_and_fail "systemd-run cannot restart the tunnel" files
    changed "this session comes through the tunnel, which restarts with its new settings as soon as this script has ended; the old ones come back in ${TRIAL_SECONDS}s unless a new login confirms these"
  else
    run_all
    activated
    changed "the tunnel runs with its new settings; the old ones come back in ${TRIAL_SECONDS}s unless they work"
  fi
}

confirm() {
  # There is time to look, and the rollback must not come in between.
  arm "$((TRIAL_SECONDS + SECONDS_TO_WAIT))" || roll_back_and_fail "cannot arm the rollback with systemd-run" script
  { works_in_time && { ! is_about_login || logs_in_time; }; } || {
    # A rollback at once could end a session that comes through the tunnel before it could report.
    if [ "$CONFIRM" = now ]; then roll_back script; else arm 2 || roll_back script; fi
    fail "$FAULT${REASON:+ ($REASON)}; ${BACK:-the old ones are back}: see 'journalctl -u $SERVICE' there, correct the settings and run 'pulumi up' again"
  }
  # This script may have outlived its connection: then nobody hears that the change has succeeded, and one through the old
  # tunnel shows nothing.
  session_is_alive || {
    [ "$CONFIRM" != now ] || roll_back_and_fail "the connection that this came over has been cut" script
    fail_with "$CONFIRM_AGAIN" "the connection that should confirm the tunnel's new settings has been cut: run 'pulumi up' again now to confirm it"
  }
  on_trial || fail "the change to the tunnel was taken back while it was being checked; run 'pulumi up' again to try once more"
  confirm_trial "the tunnel's new settings"
  SWEEP=yes
}

# A power cut has left of a trial what cannot be taken back. What is configured is what the settings say, and it works.
end_torn_trial() { ! works_in_time || end_trial; }

# works_in_time — waits for it; where it fails, sets FAULT and REASON.
works_in_time() {
  local until_time
  FAULT="the tunnel did not come up with its new settings in ${SECONDS_TO_WAIT}s"
  until_time=$(($(date +%s) + SECONDS_TO_WAIT))
  until works; do
    [ "$(date +%s)" -lt "$until_time" ] || {
      find_reason
      return 1
    }
    sleep 0.2
  done
}

# logs_in_time — whether the account can log in with the key and the host keys that are written now, beside the connection that
# the tunnel has. The forced command there only answers this. Where it fails, sets FAULT and REASON.
logs_in_time() {
  local until_time
  until_time=$(($(date +%s) + SECONDS_TO_WAIT))
  until logs_in; do
    find_reason_in "$HEARD"
    FAULT="no login to the public host succeeds with the tunnel's new key and the host keys that it has now"
    # What sshd refuses it refuses again, and counts (PerSourcePenalties).
    case $HEARD in *"ermission denied"* | *"ost key verification failed"*) return 1 ;; esac
    [ "$(date +%s)" -lt "$until_time" ] || return 1
    sleep 3
  done
}

logs_in() {
  local status
  find_account "$ACCOUNT"
  status=0
  hear "$FOUND_IDS" "$FOUND_HOME" timeout 20 ssh -T -o ClearAllForwardings=yes "$ALIAS" listeners || status=$?
  # Its own failures, and those of timeout(1): what the command says does not matter.
  case $status in 124 | 137 | 255) return 1 ;; esac
}

# find_reason — sets REASON to the last thing that the tunnel has said of its failure. Of what is on the way to the public
# host, ssh itself only notices that nothing comes from there; the tunnel's program says why.
find_reason() {
  local unit
  unit=_SYSTEMD_UNIT=$SERVICE.service
  if [ -z "$PROXY_PROGRAM" ]; then
    find_reason_in "$(journalctl -q -o cat -n 1 "$unit" _COMM=ssh 2>/dev/null)"
  else
    find_reason_in "$(journalctl -q -o cat -n 20 "$unit" _COMM=ssh + "$unit" SYSLOG_IDENTIFIER=tunnel 2>/dev/null)"
  fi
}

# find_reason_in LINES — sets REASON to the last of them; where something is on the way, to the last that says more than that
# nothing comes from there, if one does.
find_reason_in() {
  REASON=$(printf '%s\n' "$1" | awk -v way="${PROXY_PROGRAM:+yes}" '
    { sub(/\r$/, "") }
    /^ *$/ { next }
    { last = $0 }
    way == "" || !/UNKNOWN port|kex_exchange|banner exchange/ { said = $0 }
    END { print said == "" ? last : said }' | printable 1)
  REASON=${REASON%.}
  case $REASON in *"ermission denied"*) REASON=$REASON${ADVICE:+; $ADVICE} ;; esac
}

# A proxy or a jump host is the first thing to go wrong, and only this host can say how. Without one, the check on the public
# host comes soon enough.
find_way_out() {
  works_in_time || fail "the tunnel did not come up in ${SECONDS_TO_WAIT}s${REASON:+ ($REASON)}: see 'journalctl -u $SERVICE' there, correct what it says and run 'pulumi up' again"
}

# works [COMMAND…] — by a look that COMMAND begins, if there is one.
works() {
  find_account "$ACCOUNT"
  # shellcheck disable=SC2086  # forwards without spaces
  as_typed "$FOUND_IDS" "$FOUND_HOME" timeout 50 "$@" "$PROGRAMS/watchdog" check "$ALIAS" "/run/$SERVICE" $FORWARDS >/dev/null 2>&1
}
