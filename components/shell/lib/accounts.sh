# shellcheck shell=sh
# How accounts of ours are removed.

# It goes before its account does, since another account may get that number later.
kind mask UNIT
undo_mask() {
  [ "$(readlink -- "/etc/systemd/system/$1")" = /dev/null ] || return 0
  rm -f -- "/etc/systemd/system/$1" || fail "cannot remove /etc/systemd/system/$1"
  changed "unmasked $1"
  [ "$(load_state "$1")" != masked ] || systemctl daemon-reload
}

load_state() { systemctl show --property LoadState --value "$1" 2>/dev/null || :; }

# end_processes ACCOUNT — returns 1 if there are none.
end_processes() {
  local uid pids attempt
  uid=$(id -u "$1")
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    # Not awk, which stops at the first process that has ended since the names were listed.
    pids=$(grep -lsE "^Uid:[[:space:]]*${uid}[[:space:]]" /proc/[0-9]*/status | cut -d/ -f3) || :
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || :
    [ "$attempt" = 1 ] || sleep 0.2
  done
  [ "$attempt" != 1 ]
}

kind user ACCOUNT
undo_user() {
  getent passwd "$1" >/dev/null || return 0
  # userdel refuses while a session of the account is alive.
  end_processes "$1" || :
  FOUND= # it may have been the last one looked up
  userdel -- "$1" || fail "cannot remove the account $1"
  changed "removed the account $1"
}

kind group GROUP
undo_group() {
  getent group "$1" >/dev/null || return 0
  groupdel -- "$1" || fail "cannot remove the group $1"
  changed "removed the group $1"
}

kind home PLACE
undo_home() { undo_dir "$1"; }
