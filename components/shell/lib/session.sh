# shellcheck shell=sh
# The SSH session that this script runs in: where it comes from, and what must wait for its end.

# ssh_connection — prints the client's address and port and our own, as SSH_CONNECTION in ssh(1); nothing outside of a
# session. sudo takes the variable away from us, but one of our parents still has it.
ssh_connection() {
  local connection pid
  connection=${SSH_CONNECTION-}
  pid=$PPID
  while [ -z "$connection" ] && [ "$pid" -gt 1 ]; do
    connection=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p') || :
    pid=$(parent_of "$pid")
  done
  printf '%s' "$connection"
}

parent_of() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null || echo 0; }

# tunnel_pid — prints the process on this very host that holds the client's end of this connection: that of the tunnel which
# this session comes through, and ends with. Fails if there is none.
tunnel_pid() {
  local source
  command -v ss >/dev/null 2>&1 || return 1
  # shellcheck disable=SC2046  # four words
  set -- $(ssh_connection)
  [ $# = 4 ] || return 1
  case $1 in *:*) source="[$1]:$2" ;; *) source=$1:$2 ;; esac
  ss -Htnp "src = $source" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1 | grep .
}

# comes_through_recorded — whether the session comes through a tunnel whose service, or whose account, is on record.
comes_through_recorded() {
  local pid uid kind value
  pid=$(tunnel_pid) || return 1
  uid=$(stat -c %u "/proc/$pid")
  while IFS=$TAB read -r kind value <&3; do
    case $kind in
      unit) [ "$(systemctl show --property MainPID --value "$value")" != "$pid" ] || return 0 ;;
      user) [ "$(id -u "$value" 2>/dev/null)" != "$uid" ] || return 0 ;;
    esac
  done 3<<EOT
$RECORDED
EOT
  return 1
}

# comes_through_service UNIT — not by the account, since the new settings may name another.
comes_through_service() {
  local pid
  pid=$(tunnel_pid) && [ "$pid" = "$(systemctl show --property MainPID --value "$1")" ]
}

# session_is_alive — a script outlives a connection that is cut. sshd calls a connection "UNKNOWN" that is not TCP.
session_is_alive() {
  # shellcheck disable=SC2046  # four words
  set -- $(ssh_connection)
  [ $# = 4 ] && [ "$1" != UNKNOWN ] && command -v ss >/dev/null 2>&1 || return 0
  [ -n "$(ss -Htn state established "sport = :$4 and dport = :$2")" ]
}

# remove_when_session_ends — undoes what is on record once nobody needs this connection any more: Pulumi holds its
# connections until it ends. Several removals go one after the other. The journal says what came of them. An apply in the
# meantime removes the mark of its record (begin_apply), and that record is not removed then.
remove_when_session_ends() {
  local record queue before mark attempt
  for record in $RECORDS; do echo $$ >"/run/$OWNER.$record.later"; done
  queue=/run/$OWNER.later
  before=$(cat "$queue" 2>/dev/null) || before=none
  find_sshd || SSHD=none
  (
    trap '' HUP
    exec 9>&-
    attempt=0
    while [ -d "/proc/$SSHD" ] || [ -d "/proc/$before" ]; do
      attempt=$((attempt + 1))
      [ "$attempt" -le 900 ] || break
      sleep 1
    done
    # shellcheck disable=SC2030  # this is a shell of its own
    LOCKED=
    trap '(write_forgotten) || :; clear_work; unlock' EXIT
    lock
    forget_looks
    for record in $RECORDS; do
      mark=/run/$OWNER.$record.later
      [ "$(cat "$mark" 2>/dev/null)" = $$ ] || continue
      remove_record "$record"
      rm -f -- "$mark"
    done
    rm -f -- "$queue"
  ) 2>&1 </dev/null | systemd-cat -t ssh-reverse-tunnel >/dev/null 2>&1 9>&- &
  echo $! >"$queue"
}
