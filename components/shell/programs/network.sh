#!/bin/sh
# Watches the network beside a tunnel, and ends the tunnel if a change has cut its connection: systemd starts it again, long
# before keep-alives would have noticed. A change also ends a pause between two attempts.
#   network HOST_ALIAS RUNTIME_DIRECTORY
# What the kernel says reaches us whoever configured it: networkd, NetworkManager, dhcpcd, a cable, a laptop that wakes up.
set -u
alias=$1
cd "$2" || exit 1
command -v ip >/dev/null 2>&1 || exit 0

# Addresses, routes, and how often the link of a default route went and came.
network() {
  local device
  ip -o address show up | awk '{ print $2, $4 }'
  { ip -4 route show && ip -6 route show; } 2>/dev/null | sed 's/ expires [0-9]*sec//'
  for device in $(ip route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p'); do
    cat "/sys/class/net/$device/carrier_changes" 2>/dev/null
  done
}

# own_address PID — the address from which this ssh, whose first socket it is, speaks to the public host; or its ProxyCommand,
# whose first socket leads to the proxy or the jump host.
own_address() {
  ss -Htnp 2>/dev/null | awk -v all="$1 $(cat "/proc/$1/task/$1/children" 2>/dev/null)" '
    BEGIN { count = split(all, pids) }
    {
      for (i = 1; i <= count; i++) if (index($0, "pid=" pids[i] ",fd=3)")) {
        address = $4
        sub(/:[0-9]*$/, "", address)
        gsub(/[][]|%.*|::ffff:/, "", address)
        print address
        exit
      }
    }'
}

# is_unplugged ADDRESS — whether its cable is out, which may be in again before the connection is lost. Other links without
# a carrier, for example a bridge for containers, do not matter.
is_unplugged() {
  local device
  device=$(ip -o address show to "$1" | awk '{ print $2; exit }')
  { ip -4 route show dev "$device" && ip -6 route show dev "$device"; } 2>/dev/null | grep -qw linkdown
}

# answers — the public host refuses this without a look at any target: we only want an answer. It has as long as a
# keep-alive has, but at least 4 s, for a slow link, and at most 10, which is what the watchdog gives it.
answers() {
  local patience
  patience=$(ssh -G "$alias" 2>/dev/null | sed -n 's/^serveraliveinterval //p')
  [ "${patience:-0}" -ge 4 ] || patience=4
  [ "$patience" -le 10 ] || patience=10
  timeout "$patience" ssh -F /dev/null -S control -W 127.0.0.1:1 "$alias" </dev/null >/dev/null 2>&1
  [ $? != 124 ]
}

look() {
  local now pid why address
  now=$(network)
  [ "$now" != "$KNOWN" ] || return 0
  KNOWN=$now
  pid=$(cat pid) || return 0
  if [ -e waiting ]; then
    why="trying again at once"
  else
    address=$(own_address "$pid")
    if [ -n "$address" ] && [ -z "$(ip -o address show to "$address")" ]; then
      why="the address $address of the tunnel's connection is gone; restarting the tunnel"
    elif [ -n "$address" ] && is_unplugged "$address"; then
      KNOWN= # it is looked at again
      return 0
    elif [ -e control ] && ! answers; then # without it there is no connection yet
      why="the tunnel's connection is dead; restarting the tunnel"
    else
      return 0
    fi
  fi
  echo "the network has changed: $why"
  kill "$pid"
}

# One read takes all that has come in the meantime. If containers come and go all the time, one look a second is enough.
ip monitor link address route 2>/dev/null | {
  KNOWN=$(network)
  while dd bs=65536 count=1 2>/dev/null | grep -q .; do
    look
    sleep 1
  done
}
