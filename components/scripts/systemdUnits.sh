# shellcheck shell=sh
# Unit files, the program that they run, and one unit that is enabled and running. Restarted only where a file of
# its own changed or it does not run.
#   PROGRAM PROGRAM_TEXT  path and text of the program
#   UNITS                 names of the unit files; the text of the n-th is UNIT_<n>
#   START                 the one of them to enable and start
#   STATUS_PROGRAM …      see status.sh; empty where the units are no check of a tunnel
apply() {
  need_cmd systemctl systemd
  must_run "$START"
  dir_of "$PROGRAM"
  make_dirs "$DIR"
  write_file "$PROGRAM" 755 "$PROGRAM_TEXT"
  RESTART=$RESTART$WRITTEN
  [ -z "$STATUS_PROGRAM" ] || write_status
  n=0
  for unit in $UNITS; do
    n=$((n + 1))
    eval "text=\$UNIT_$n"
    # shellcheck disable=SC2154  # set by eval
    write_unit "$unit" "$text"
    RESTART=$RESTART$WRITTEN
  done
  run_unit "$START" "$RESTART"
}
