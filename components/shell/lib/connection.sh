# shellcheck shell=sh
# Ends the connection that a script came over. Pulumi's provider opens one for each command, and closes none until it ends
# itself: without this, a run of 300 commands would hold 300 sessions of sshd at the same time.

# find_sshd — sets SSHD to the sshd that serves this session, the nearest among our parents, and TERMINAL, which is 0 if the
# session has none. Fails outside of a session.
find_sshd() {
  local stat
  SSHD=$$ TERMINAL=0
  while read -r stat 2>/dev/null <"/proc/$SSHD/stat"; do
    case ${stat#*"("} in sshd*) return 0 ;; esac
    # "S 123 …": its state, parent, process group, session, terminal, as in proc(5)
    # shellcheck disable=SC2086  # words
    set -- ${stat##*") "}
    SSHD=$2 TERMINAL=$5
    [ "$SSHD" -gt 1 ] || return 1
  done
  return 1
}

# end_connection COMMAND… — leaves a process behind that ends the connection when everything is done. COMMAND runs a text as
# root.
end_connection() {
  # A person who has logged in at a terminal stays.
  find_sshd && [ "$TERMINAL" = 0 ] || return 0
  # A terminal that sudo or script(1) gave us hangs up before setsid has begun.
  "$@" "trap '' HUP; setsid sh -c '$END_WHEN_DONE' sh $SSHD </dev/null >/dev/null 2>&1 &" || :
}

# It inherits nothing of ours: no streams, no lock, no session. There must be no single quote in it.
#
# sshd is done when it has no children, has waited in poll(2) for a second without a moment on a processor, and its client
# had the last word: the last thing that a client sends is the close of its channel, which answers sshd's own close, and
# with it the exit status. To have no children is not enough: sshd collects them before it sends the exit status, and on a
# busy host, or if its log stalls, there may be a long time between the two. A connection that carries anything else is left
# alone: a session, a forward, a program that still writes to a session that has ended. So is one that is not done after ten
# minutes. By then the number may belong to another process, so the time of its start is compared as well.
# shellcheck disable=SC2016  # it is for that shell
END_WHEN_DONE='
  exec 9<&-
  pid=$1
  # Sets idle to how often sshd has run so far; to nothing where it runs, or has children.
  look() {
    read -r stat 2>/dev/null <"/proc/$pid/stat" || exit 0
    case ${stat#*"("} in sshd*) ;; *) exit 0 ;; esac
    set -- ${stat##*") "}
    [ "${start:=${20}}" = "${20}" ] && [ -r "/proc/$pid/task/$pid/children" ] || exit 0
    children= idle=
    read -r children <"/proc/$pid/task/$pid/children"
    [ "$1$children" = S ] || return 0
    # What it waits in; 0 where the kernel does not tell.
    read -r where <"/proc/$pid/wchan"
    case $where in 0 | *poll* | *select*) ;; *) return 0 ;; esac
    while read -r key value; do
      case $key in *ctxt_switches:) idle="$idle $value" ;; esac
    done <"/proc/$pid/status"
  }
  # Only one socket of TCP, and none that listens. The times are in milliseconds, and ss shows no zero.
  client_had_last_word() {
    ss -Hatxnpi | awk -v "pid=pid=$pid," "
      !/^[ \t]/ {
        its = index(\$0, pid)
        if (its && \$2 == \"LISTEN\") others = 1
        if (its && \$1 == \"tcp\" && (sockets++ || \$2 != \"ESTAB\" || \$4 != 0)) others = 1
        next
      }
      its {
        for (i = 1; i <= NF; i++) {
          if (sub(/^lastsnd:/, \"\", \$i)) sent = \$i
          if (sub(/^lastrcv:/, \"\", \$i)) heard = \$i
        }
      }
      END { exit !(sockets == 1 && !others && heard != \"\" && heard + 0 <= sent + 0) }"
  }
  # Hundredths of a second.
  clock() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
  }
  clock
  end=$((now + 60000))
  looks=0
  before=
  while [ "$now" -lt "$end" ]; do
    look
    clock
    if [ -z "$idle" ] || [ "$idle" != "$before" ]; then
      before=$idle
      since=$now
    elif [ $((now - since)) -ge 100 ] && client_had_last_word; then
      look
      [ "$idle" != "$before" ] || kill "$pid"
    fi
    # Something else keeps the connection busy, and ss looks at all processes of the host.
    looks=$((looks + 1))
    if [ "$looks" -lt 25 ]; then sleep 0.2; else sleep 5; fi || exit 0
  done'
