#!/bin/sh
# The tunnel itself, started by systemd as the tunnel's account.
#   tunnel HOST_ALIAS MAX_DELAY -R … [-R …]
# MAX_DELAY is the longest pause between two attempts, in seconds. The working folder is $RUNTIME_DIRECTORY.
# systemd starts this and not ssh, since RHEL's SELinux policy does not let it execute ssh.
# needs: printable
set -u
alias=$1
max_delay=$2
shift 2

# A tunnel that worked is started again at once. From then on, until the watchdog has seen it work and removes down-since,
# the pause between two attempts is a hundredth of the time that it has been down: never a large part of the whole, and
# hardly anything at first. systemd's own RestartSteps= came with version 254. Hundredths of a second of uptime, since the
# clock of a machine without a battery jumps.
read -r now _ </proc/uptime
now=$((${now%.*} * 100 + 1${now#*.} - 100)) # "0.08" must not become "008", which is octal
next=$now
if [ -e waiting ]; then
  rm -f waiting # whoever ended the pause wants it now
  since=$now
# Whatever else is in the file must not keep the tunnel down.
elif ! read -r since last <down-since || ! [ "$since" -le "$last" ] || ! [ "$last" -le "$now" ]; then
  since=$now
else
  delay=$(((now - since) / 100))
  [ "$delay" -ge 30 ] || delay=30
  [ "$delay" -le $((max_delay * 100)) ] || delay=$((max_delay * 100))
  next=$((last + delay))
fi 2>/dev/null

# Where a proxy or a jump host is on the way, that is what proxy.sh has left. The last line says it, before those with which the
# jump host's ssh says that the proxy before it has said nothing.
if [ -s refused ] && [ ! -e forwarding ]; then
  grep -v 'UNKNOWN port\|kex_exchange\|banner exchange' refused | tail -n 1 | printable 1 "no way to the public host: "
fi
rm -f control forwarding refused # of the attempt before; whoever reads our pid takes them for ours
echo $$ >pid
"${0%/*}/network" "$alias" "$RUNTIME_DIRECTORY" &

if [ "$next" -gt "$now" ]; then
  : >waiting
  sleep "$(((next - now) / 100)).$(printf %02d $(((next - now) % 100)))"
  rm -f waiting
  touch pid # the watchdog takes its age for that of the attempt
  now=$next
fi
echo "$since $now" >down-since

# One login does all: over the connection we end our own earlier session, which may hold the ports for hours after a power cut
# here, and ask for the forwards. What this host's configuration says of every host, say RemoteForward or RemoteCommand, is
# for neither. The connection's own ssh says why a forward is refused.
# What evict-stale prints is the public host's to choose: a few lines of it are enough, and what it does needs none.
take_over() {
  timeout 30 ssh -F /dev/null -T -S control "$alias" evict-stale 2>&1 | printable 3 "the public host says: "
}

# on_socket ACTION FORWARD
on_socket() { timeout 30 ssh -q -F /dev/null -S control -O "$1" -R "$2" "$alias" >/dev/null; }

# ask_for FORWARD… — for each by itself, so that one that is refused takes no other with it, and all at once. Prints those
# that are refused, one a line. An older ssh would take them for its own unless they are cancelled.
ask_for() {
  local forward
  for forward; do
    on_socket forward "$forward" || {
      on_socket cancel "$forward" || :
      echo "$forward"
    } &
  done
  wait
}

# open_forwards -R FORWARD … — what the public host's administrator has run at each login (sshrc) may take its time. Only a
# forward that is refused waits for it: an earlier session may hold the port.
open_forwards() {
  local forward taking_over refused
  until [ -e control ]; do
    kill -0 $$ 2>/dev/null || exit 0
    sleep 0.05
  done
  for forward; do
    shift
    [ "$forward" = -R ] || set -- "$@" "$forward"
  done
  take_over &
  taking_over=$!
  refused=$(ask_for "$@")
  if [ -n "$refused" ]; then
    wait "$taking_over"
    # shellcheck disable=SC2086  # one word each
    refused=$(ask_for $refused)
  fi
  if [ "$(printf '%s' "$refused" | grep -c .)" = $# ]; then
    kill $$
    return
  fi
  # The file tells the watchdog that from now on something must listen.
  : >forwarding
  # shellcheck disable=SC2086
  [ -z "$refused" ] || printf 'the public host does not listen for %s; the watchdog asks again\n' $refused
}
open_forwards "$@" &

# AES-GCM first where the CPU has instructions for AES: 1.5 times as fast as ssh's own first choice (docs/benchmarks.md), and
# no less safe. All else that this host's administrator allows stays behind it.
# This look at the configuration also says what is wrong with ssh itself, for all to see.
ciphers=
allowed=$(ssh -G -T "$alias" | sed -n 's/^ciphers //p')
if grep -qw aes /proc/cpuinfo; then
  fast=$(printf '%s\n' "$allowed" | tr , '\n' | grep -e -gcm@ | paste -sd , -)
  ciphers=${fast:+$fast,$allowed}
fi

# With ControlPersist it would go to the background, and systemd would take it for ended.
# What ssh has to say itself it says to the journal (-y), a line that it has made printable at a time. On standard error
# would be the public host's banner, of any length.
exec ssh -y -N -T -M -S "$RUNTIME_DIRECTORY/control" -o ControlPersist=no -o ClearAllForwardings=yes \
  ${ciphers:+-o "Ciphers=$ciphers"} "$alias" 2>/dev/null
