# shellcheck shell=sh
# needs: record files lines sshFolder units trial session
# The internal host's end of a tunnel: the Host entry and the pinned host keys that it logs in with, its service and its
# watchdog. A tunnel that runs is changed on trial (trial.sh): the one that worked comes back unless the new one works and
# a new login has shown it. That login may come through this very tunnel; then the restart waits until this script is gone.
#   ACCOUNT              that ssh runs as
#   FILE                 name of its files below ~/.ssh/ssh-reverse-tunnel
#   ALIAS FORWARDS       what the watchdog looks at: see installed/watchdog.sh
#   ENTRY KEYS           texts of the Host entry and of the known_hosts file
#   PROGRAMS             folder of the programs; TUNNEL_PROGRAM WATCHDOG_PROGRAM their texts
#   SERVICE              ssh-tunnel-<name>; SERVICE_UNIT CHECK_UNIT TIMER_UNIT texts of the units
#   SECONDS_TO_WAIT      for the changed tunnel to work
WATCHDOG=$SERVICE-watchdog

apply() {
  need_cmd systemctl systemd
  ssh_folder "$ACCOUNT"
  others=$(each_file print_if_other)
  if [ -n "$others" ]; then
    if systemctl is-active --quiet "$SERVICE.service" && recorded file "$UNIT_DIR/$SERVICE.service"; then
      SWEEP=no
      change_on_trial
    else
      write_all
      run_all
    fi
  elif ! on_trial; then
    write_all
    run_all
  elif ! trial_is_active; then
    SWEEP=no
    write_all
    # An earlier run was killed before it; or it is to happen at the end of the session that changed the files.
    systemctl is-active --quiet "$TRIAL_UNIT-restart.service" || activate
    [ "$CONFIRM" != yes ] ||
      fail "the tunnel is just being restarted with its new settings: run 'pulumi up' again now to confirm it"
  elif [ "$CONFIRM" = yes ]; then
    write_all
    confirm
  else
    SWEEP=no
    write_all
  fi
}

# each_file ACTION — with path, mode, owner and text of each.
each_file() {
  "$1" "$FOLDER/$FILE.known_hosts" 644 "$IDS" "$KEYS"
  "$1" "$FOLDER/$FILE.conf" 600 "$IDS" "$ENTRY"
  "$1" "$PROGRAMS/tunnel" 755 0:0 "$TUNNEL_PROGRAM"
  "$1" "$PROGRAMS/watchdog" 755 0:0 "$WATCHDOG_PROGRAM"
  "$1" "$UNIT_DIR/$SERVICE.service" 644 0:0 "$SERVICE_UNIT"
  "$1" "$UNIT_DIR/$WATCHDOG.service" 644 0:0 "$CHECK_UNIT"
  "$1" "$UNIT_DIR/$WATCHDOG.timer" 644 0:0 "$TIMER_UNIT"
}

print_if_other() { [ -f "$1" ] && printf '%s\n' "$4" | cmp -s - "$1" || printf '%s\n' "$1"; }

print_path() { printf '%s\n' "$1"; }

# Sets RESTART_TUNNEL and RESTART_WATCHDOG.
write_all() {
  must_run "$SERVICE.service"
  RESTART_TUNNEL=$RESTART
  must_run "$WATCHDOG.timer"
  RESTART_WATCHDOG=$RESTART
  add_line "$SSH_DIR/config" "$IDS" 600 top "Include ssh-reverse-tunnel/*.conf"
  make_dirs "$PROGRAMS"
  each_file write_one
}

write_one() {
  case $1 in
    "$UNIT_DIR/"*) write_unit "${1##*/}" "$4" ;;
    *) write_file "$@" ;;
  esac
  case $1 in
    *watchdog*) RESTART_WATCHDOG=$RESTART_WATCHDOG$WRITTEN ;;
    *) RESTART_TUNNEL=$RESTART_TUNNEL$WRITTEN ;;
  esac
}

run_all() {
  run_unit "$SERVICE.service" "$RESTART_TUNNEL"
  run_unit "$WATCHDOG.timer" "$RESTART_WATCHDOG"
}

change_on_trial() {
  # shellcheck disable=SC2046  # paths without spaces, one a line
  begin_trial "$(undo_text)" $(each_file print_path)
  write_all
  activate
  [ "$CONFIRM" != yes ] ||
    fail "the change to the tunnel had been taken back, since no new login confirmed it in time; it is active again for ${TRIAL_SECONDS}s: run 'pulumi up' again now to confirm it"
}

# For the rollback, which has put the files back.
undo_text() {
  cat <<EOT
if [ "\$how" != files ]; then systemctl daemon-reload; fi
if [ "\$how" != files ] && [ "\$how" != boot ]; then
  systemctl restart $SERVICE.service $WATCHDOG.timer
  echo 'ssh-reverse-tunnel: the change to $SERVICE was not confirmed; the old one is back' >&2
fi
EOT
}

# Restarts what changed: at once, or, where that would end this very session before it could report, right after it.
activate() {
  systemctl daemon-reload
  if [ -z "$RESTART_TUNNEL" ]; then
    run_all
    activated
  elif comes_through_tunnel_of "$ACCOUNT"; then
    systemctl restart "$WATCHDOG.timer"
    systemd-run --quiet --collect --unit "$TRIAL_UNIT-restart" /bin/sh -c \
      "while [ -d /proc/$$ ]; do sleep 0.1; done; sleep 0.5; [ -f $TRIAL_DIR/kept ] && : >$TRIAL_DIR/active && systemctl restart $SERVICE.service" ||
      roll_back_and_fail "systemd-run cannot restart the tunnel" files
    changed "this session comes through the tunnel, which restarts with its new settings as soon as this script has ended; the old ones come back in ${TRIAL_SECONDS}s unless a new login confirms these"
  else
    run_all
    activated
    changed "the tunnel runs with its new settings; the old ones come back in ${TRIAL_SECONDS}s unless they work"
  fi
}

confirm() {
  until_time=$(($(date +%s) + SECONDS_TO_WAIT))
  until works; do
    if [ "$(date +%s)" -ge "$until_time" ]; then
      reason=$(journalctl -q -o cat -n 1 "_SYSTEMD_UNIT=$SERVICE.service" _COMM=ssh 2>/dev/null) || reason=
      # A rollback at once could end this session before it could report.
      arm 2 || roll_back script
      fail "the tunnel did not come up with its new settings in ${SECONDS_TO_WAIT}s${reason:+ ($reason)}; the old ones are back: see 'journalctl -u $SERVICE' there, correct the settings and run 'pulumi up' again"
    fi
    sleep 0.2
  done
  end_trial
  changed "confirmed the tunnel's new settings"
}

works() {
  # shellcheck disable=SC2086  # forwards without spaces
  as "$IDS" "$PROGRAMS/watchdog" check "$ALIAS" "/run/$SERVICE" $FORWARDS
}

remove_later() { comes_through_tunnel_of "$ACCOUNT"; }

main "$@"
