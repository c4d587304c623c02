# shellcheck shell=sh
# Tells somebody when a tunnel of the stack goes down on this public host and when it is back: a timer starts a program, which
# runs a command of the administrator's.
#   UNITS SERVICE_UNIT TIMER_UNIT  name of the units, and their texts
#   ACCOUNT        that the command runs as; empty for one that systemd makes
#   PROGRAMS       folder of the programs; NOTIFY_PROGRAM COMMAND texts of the program and of the command
#   FOLDER SECRET  folder of the file with the command's secret, and its text; empty for none
apply() {
  need_cmd systemctl systemd
  need_version 247 # LoadCredential, and "systemctl clean" for the removal
  [ -z "$ACCOUNT" ] || getent passwd "$ACCOUNT" >/dev/null ||
    fail "there is no account '$ACCOUNT' to run the command of notify as; create it, or leave out 'account', and run 'pulumi up' again"
  must_run "$UNITS.timer"
  make_dirs "$PROGRAMS"
  write_file "$PROGRAMS/notify" 755 "$NOTIFY_PROGRAM"
  write_file "$PROGRAMS/notify-command" 755 "$COMMAND"
  let_systemd_run "$PROGRAMS/notify"
  if [ -n "$SECRET" ]; then
    make_dirs "$FOLDER"
    write_file "$FOLDER/secret" 600 "$SECRET"
  fi
  write_unit "$UNITS.service" "$SERVICE_UNIT"
  RESTART=$RESTART$WRITTEN
  write_unit "$UNITS.timer" "$TIMER_UNIT"
  RESTART=$RESTART$WRITTEN
  run_unit "$UNITS.timer" "$RESTART"
  [ -z "$RESTART" ] || try_once "$UNITS.service"
}

need_version() {
  local version
  version=$(systemctl --version | sed -n '1s/^systemd \([0-9]\{1,\}\).*/\1/p')
  [ "${version:-0}" -ge "$1" ] ||
    fail "'notify' needs systemd $1 or later, and this host has ${version:-an unknown version}; leave out 'notify' for it, or watch it with Prometheus"
}
