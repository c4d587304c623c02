# shellcheck shell=sh
# Our systemd units, below /etc/systemd/system. A unit with one of these names that is not ours is refused.
UNIT_DIR=/etc/systemd/system

# must_run UNIT — comes before its files are written: the unit is on record until it runs with them, so if a run is killed
# in between, the next one makes up for it. Sets RESTART if an earlier run was.
must_run() {
  passing restart "$1"
  RESTART=
  if recorded restart "$1"; then RESTART=yes; else write_record "${RECORDED}restart$TAB$1$NL"; fi
}

# write_unit UNIT TEXT — sets WRITTEN to yes if the file changed.
write_unit() {
  recorded file "$UNIT_DIR/$1" || foreign_unit "$1"
  compare "$UNIT_DIR/$1" 644 "$2"
  together record_unit "$1"
  write_content "$UNIT_DIR/$1" 644 "$2"
}

# What stops a unit comes after its file on the record, so it comes first in a removal.
record_unit() {
  own_alone file "$UNIT_DIR/$1" "${THERE:+yes}"
  own unit "$1"
}

# run_unit UNIT RESTART — enables and starts it; restarts it if RESTART is not empty.
run_unit() {
  local since
  if systemctl is-enabled --quiet "$1" 2>/dev/null; then
    [ -z "$2" ] || systemctl daemon-reload
  else # enabling reloads too
    systemctl enable --quiet "$1" || fail "systemctl cannot enable $1"
    changed "enabled $1"
  fi
  if [ -n "$2" ] || ! systemctl is-active --quiet "$1"; then
    since=$(date +%s)
    systemctl restart "$1" || not_started "$1" "$since"
    changed "started $1"
  fi
}

# stop_unit UNIT — disables and stops one that is on record, which stays there.
stop_unit() {
  recorded unit "$1" && [ -e "$UNIT_DIR/$1" ] || return 0
  case $(systemctl is-enabled "$1" 2>/dev/null)/$(systemctl is-active "$1") in disabled/inactive) return 0 ;; esac
  systemctl disable --quiet --now "$1" || fail "systemctl cannot stop $1; see 'journalctl -u $1' there"
  systemctl reset-failed "$1" 2>/dev/null || :
  changed "disabled $1"
}

# not_started UNIT SINCE — ends the script with the step at which systemd failed since then: systemd.exec(5), "Process exit
# codes".
not_started() {
  local said step
  journalctl --sync 2>/dev/null || :
  said=$(journalctl -q -o cat --since "@$2" -u "$1" 2>/dev/null) || :
  step=$(printf '%s\n' "$said" | sed -n 's/.* status=\(2[0-9][0-9]\/[A-Z_]*\).*/\1/p' | tail -n 1)
  case $step in
    226/*)
      step="$step: $(printf '%s\n' "$said" | sed -n 's/.*: \(Failed to set up .*\)/\1/p' | printable 1)"
      fail "$1 does not start, since systemd cannot set up its namespaces here ($step); in a container, allow nested ones (on Proxmox 'pct set ID --features nesting=1', and restart it), or set 'namespaces: false' for this host, and run 'pulumi up' again"
      ;;
  esac
  fail "$1 does not start${step:+ ($step)}; see 'journalctl -u $1' there"
}

# try_once UNIT — of a timer, which would not say that it does not start. What it finds may be a failure as well, and a command
# of notify's may hang.
try_once() {
  local since
  since=$(date +%s)
  timeout 70 systemctl start "$1" 2>/dev/null || case $(systemctl show --property ExecMainStatus --value "$1") in 2??) not_started "$1" "$since" ;; esac
}

# check_now UNIT — runs a check once, so that the state is known when 'pulumi up' ends; after one that runs already, which may
# have looked too early. If it fails, that is reported where its units are written (try_once).
check_now() {
  [ "$(systemctl is-active "$1")" != activating ] || systemctl start "$1" 2>/dev/null || :
  systemctl start "$1" 2>/dev/null || :
}

# foreign_unit UNIT — a unit of that name that a package brought, or that the administrator wrote, is not ours to replace.
foreign_unit() {
  local path
  path=$(systemctl show --property FragmentPath --value "$1" 2>/dev/null) || :
  case $path in
    "") ;;
    "$UNIT_DIR/$1") recorded_elsewhere file "$path" || foreign_unit_error "$1" "$path" ;;
    *) foreign_unit_error "$1" "$path" ;;
  esac
}

foreign_unit_error() {
  local other
  case $1 in ssh-tunnel-*) other=", or give the internal host another name in the settings" ;; *) other= ;; esac
  fail "there is a unit $1 already ($2) that is not ours; rename it$other, and run 'pulumi up' again"
}

kind unit UNIT
undo_unit() {
  local mounted
  [ -e "$UNIT_DIR/$1" ] || return 0
  systemctl disable --quiet --now "$1" 2>/dev/null || systemctl stop "$1" 2>/dev/null || :
  systemctl reset-failed "$1" 2>/dev/null || :
  systemctl clean --what=state "$1" 2>/dev/null || :
  mounted=/run/${1%.service}
  ! mountpoint -q "$mounted" || umount "$mounted" || umount -l "$mounted"
  clear_memory "/var/lib/${1%.service}"
  systemctl clean --what=runtime "$1" 2>/dev/null || : # of a unit that is not failed: a check may just have been ended
  UNITS_REMOVED=yes
}

# clear_memory FOLDER — what a health check has kept over a boot; systemd has made the folder.
clear_memory() {
  [ -d "$1" ] && [ ! -L "$1" ] || return 0
  rm -f -- "$1/logins" "$1/logins.new"
  rmdir -- "$1" 2>/dev/null || :
}

kind restart UNIT
undo_restart() { :; }

# A drop-in of a timer, which several tunnels may have in common.
kind pace OUR_FILE
undo_pace() {
  undo_file "$1"
  UNITS_REMOVED=yes
}

# What a health check keeps of a tunnel. One that runs may be writing it again right now.
kind findings /run/UNITS/TUNNEL
undo_findings() {
  local folder
  folder=${1%/*}
  systemctl stop "${folder##*/}.service" 2>/dev/null || :
  systemctl reset-failed "${folder##*/}.service" 2>/dev/null || :
  rm -f -- "$1.state" "$folder/ssh-tunnel-${1##*/}.prom"
}

UNITS_REMOVED=
units_after_sweep() { [ -z "$UNITS_REMOVED" ] || systemctl daemon-reload; }
