# shellcheck shell=sh
# A tunnel's part in the health check of its stack on this public host. Program, units and folders are common to all tunnels
# of the stack, and go with the last one.
#   TUNNEL            the tunnel
#   LISTS LIST        the folder with a list for each tunnel, which is a file of its name, and the text of this one's
#   PROGRAMS          folder of the programs; HEALTH_PROGRAM PROBE_PROGRAM their texts
#   UNITS             name of service and timer, and of the folder below /run; SERVICE_UNIT TIMER_UNIT texts of the units
#   INTERVAL PACE     how often this tunnel wants to be looked at, and the text of the timer's drop-in about that
#   STATUS_PROGRAM …  see status.sh
TIMER=$UNITS.timer

apply() {
  need_cmd systemctl systemd
  must_run "$TIMER"
  make_dirs "$PROGRAMS"
  write_shared "$PROGRAMS/health" 755 "$HEALTH_PROGRAM"
  see_change
  write_shared "$PROGRAMS/probe" 755 "$PROBE_PROGRAM"
  see_change
  let_systemd_run "$PROGRAMS/health"
  write_unit "$UNITS.service" "$SERVICE_UNIT"
  see_change
  write_unit "$TIMER" "$TIMER_UNIT"
  see_change
  make_dirs "$UNIT_DIR/$TIMER.d"
  write_pace "$UNIT_DIR/$TIMER.d/$INTERVAL.conf"
  see_change
  # On record before the list, so that it goes after it.
  own findings "/run/$UNITS/$TUNNEL"
  make_dirs "$LISTS"
  date_keys
  write_file "$LISTS/$TUNNEL" 644 "$LIST"
  see_change
  # What it found before would grow old.
  case $LIST in
    disabled*) undo_findings "/run/$UNITS/$TUNNEL" ;;
    *) WAITS_FOR="$WAITS_FOR look_now" ;;
  esac
  write_status
  # It looks at a new list in a moment.
  run_unit "$TIMER" "$RESTART"
  [ -z "$RESTART" ] || try_once "$UNITS.service"
}

# look_now — once the tunnel is there, which tunnelCheck.sh waits for: the next run may be a day away. Whatever the tunnel's
# interval is, one whose list is new is looked at. What sshd has said of its login may not be in the journal yet.
look_now() {
  touch -c "$LISTS/$TUNNEL"
  timeout 10 journalctl --sync 2>/dev/null || :
  check_now "$UNITS.service"
}

# date_keys — adds to the list when the oldest of LOGIN_KEYS was made, which clientConfig.sh has set for the logins of this visit.
date_keys() {
  local key made oldest
  oldest=
  while IFS= read -r key <&4; do
    [ -n "$key" ] && made=$(made_at "$key") || continue
    [ -n "$oldest" ] && [ "$oldest" -le "$made" ] || oldest=$made
  done 4<<EOF
${LOGIN_KEYS-}
EOF
  [ -z "$oldest" ] || LIST="${LIST%%"$NL"*}${NL}made $oldest$NL${LIST#*"$NL"}"
}

see_change() { RESTART=$RESTART$WRITTEN; }

write_pace() {
  compare "$1" 644 "$PACE"
  own pace "$1"
  write_content "$1" 644 "$PACE"
}
