# shellcheck shell=sh
# The SSH session that this script runs in: where it comes from, and what must wait for its end.

# ssh_connection — client address and port, own address and port, as in ssh(1), SSH_CONNECTION; nothing outside of a
# session. sudo takes the variable away from us, and one of its parents still has it.
ssh_connection() {
  sc_connection=${SSH_CONNECTION-}
  sc_pid=$PPID
  while [ -z "$sc_connection" ] && [ "$sc_pid" -gt 1 ]; do
    sc_connection=$(tr '\0' '\n' <"/proc/$sc_pid/environ" 2>/dev/null | sed -n 's/^SSH_CONNECTION=//p') || :
    sc_pid=$(parent_of "$sc_pid")
  done
  printf '%s' "$sc_connection"
}

parent_of() { sed -n 's/^PPid:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null || echo 0; }

# session_pid — of the sshd that serves this session; nothing outside of one.
session_pid() {
  sp_pid=$$
  while [ "$sp_pid" -gt 1 ]; do
    case $(cat "/proc/$sp_pid/comm") in
      sshd*)
        printf '%s' "$sp_pid"
        return 0
        ;;
    esac
    sp_pid=$(parent_of "$sp_pid")
  done
}

# comes_through_tunnel_of ACCOUNT — whether the client's end of this connection is a process of the account on this very
# host: then this session has come through its tunnel, and ends with it.
comes_through_tunnel_of() {
  command -v ss >/dev/null 2>&1 || return 1
  # shellcheck disable=SC2046  # four words
  set -- "$1" $(ssh_connection)
  [ $# = 5 ] || return 1
  case $2 in *:*) ct_source="[$2]:$3" ;; *) ct_source=$2:$3 ;; esac
  ct_pid=$(ss -Htnp "src = $ct_source" | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
  [ -n "$ct_pid" ] && [ "$(stat -c %u "/proc/$ct_pid")" = "$(id -u "$1")" ]
}

# session_is_alive — a script outlives a connection that is cut.
session_is_alive() {
  # shellcheck disable=SC2046  # four words
  set -- $(ssh_connection)
  [ $# = 4 ] && command -v ss >/dev/null 2>&1 || return 0
  [ -n "$(ss -Htn state established "sport = :$4 and dport = :$2")" ]
}

# sweep_when_session_ends — undoes what is on record once nobody needs this connection any more: the deployment holds its
# connections until it ends. Several go one after the other. What comes of it is in the journal.
sweep_when_session_ends() {
  sw_queue=/run/$OWNER.later
  sw_before=$(cat "$sw_queue" 2>/dev/null) || sw_before=none
  sw_session=$(session_pid)
  (
    trap '' HUP
    exec 9>&-
    attempt=0
    while [ -d "/proc/$sw_session" ] || [ -d "/proc/$sw_before" ]; do
      attempt=$((attempt + 1))
      [ "$attempt" -le 900 ] || break
      sleep 1
    done
    lock
    RECORDED=$NL
    OTHERS=$NL
    read_records
    sweep
    rm -f -- "$sw_queue"
  ) 2>&1 </dev/null | systemd-cat -t ssh-reverse-tunnel >/dev/null 2>&1 9>&- &
  echo $! >"$sw_queue"
}
