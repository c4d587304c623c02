# shellcheck shell=sh
# Unit files, the program that they run, and one unit that is enabled and running. Restarted only where a file of
# its own changed or it does not run.
#   PROGRAM PROGRAM_TEXT  path and text of the program
#   UNITS                 names of the unit files; the text of the n-th is UNIT_<n>
#   START                 the one of them to enable and start
UNIT_DIR=/etc/systemd/system

apply() {
  need_cmd systemctl systemd
  # On record until the unit runs with what was written: a run that is killed in between is made up for by the next.
  restart=
  if recorded restart "$START"; then restart=yes; else write_record "${RECORDED}restart$TAB$START$NL"; fi
  make_dirs "$(dirname "$PROGRAM")"
  write_file "$PROGRAM" 755 0:0 "$PROGRAM_TEXT"
  restart=$restart$WRITTEN
  n=0
  for unit in $UNITS; do
    n=$((n + 1))
    recorded file "$UNIT_DIR/$unit" || foreign_unit "$unit"
    eval "text=\$UNIT_$n"
    # shellcheck disable=SC2154  # set by eval
    write_file "$UNIT_DIR/$unit" 644 0:0 "$text"
    restart=$restart$WRITTEN
    own unit "$unit"
  done
  if systemctl is-enabled --quiet "$START" 2>/dev/null; then
    [ -z "$restart" ] || systemctl daemon-reload
  else # enabling reloads too
    systemctl enable --quiet "$START" || fail "systemctl cannot enable $START"
    changed "enabled $START"
  fi
  if [ -n "$restart" ] || ! systemctl is-active --quiet "$START"; then
    systemctl restart "$START" || fail "$START does not start; see 'journalctl -u $START' there"
    changed "started $START"
  fi
}

# A unit of that name that a package brought, or that the administrator wrote, is not ours to replace.
foreign_unit() {
  fu_path=$(systemctl show --property FragmentPath --value "$1" 2>/dev/null) || :
  case $fu_path in
    "") ;;
    "$UNIT_DIR/$1") recorded_elsewhere file "$fu_path" || foreign_unit_error "$1" "$fu_path" ;;
    *) foreign_unit_error "$1" "$fu_path" ;;
  esac
}

foreign_unit_error() {
  fail "there is a unit $1 already ($2) that is not ours; rename it, or give the internal host another name in the settings"
}

undo_unit() {
  [ -e "$UNIT_DIR/$1" ] || return 0
  systemctl disable --quiet --now "$1" 2>/dev/null || systemctl stop "$1" 2>/dev/null || :
  systemctl clean --what=runtime "$1" 2>/dev/null || :
  systemctl reset-failed "$1" 2>/dev/null || :
  UNITS_REMOVED=yes
}

undo_restart() { :; }

UNITS_REMOVED=
after_sweep() {
  [ -z "$UNITS_REMOVED" ] || systemctl daemon-reload
}

main "$@"
