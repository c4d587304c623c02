#!/bin/sh
# Inside a guest: takes from its second disk who it is, at its first boot, and its addresses, at each. A guest that has
# none yet waits here, all else started; so the lab saves it, and wakes up as many as it likes.
set -eu

main() {
  if [ ! -e /etc/lab-network ]; then
    is_there || wait_for_it
    take_it
  fi
  # shellcheck source=/dev/null
  . /etc/lab-network
  hostname -F /etc/hostname
  until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
  ip link set eth0 address "$MAC"
  ip addr add "$ADDRESS/24" dev eth0
  # Machines without IPv6 are still good for a lab.
  ip addr add "$ADDRESS6/64" dev eth0 nodad 2>/dev/null || :
  ip link set eth0 up
}

# Around the cache, which was filled in another life.
is_there() { [ -n "$(dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\000')" ]; }

wait_for_it() {
  until [ "$(systemctl list-jobs --no-legend | grep -c ' running$')" -le 1 ]; do sleep 0.5; done
  sync
  echo "lab: waiting for an identity"
  until is_there; do sleep 0.1; done
  # The clock stood still meanwhile, and all guests that wake up here would draw the same random numbers.
  date -u -s "@$(cat /sys/class/rtc/rtc0/since_epoch)" >/dev/null
  dd if=/dev/hwrng of=/dev/urandom bs=64 count=1 2>/dev/null || :
  python3 -c 'import fcntl; fcntl.ioctl(open("/dev/urandom", "wb"), 0x5207)' # RNDRESEEDCRNG of random(4)
}

take_it() {
  dd if=/dev/vdb bs=1M iflag=direct 2>/dev/null | tar -x -C / --no-overwrite-dir
  for home in /root /home/admin /home/alice; do
    chown --reference="$home" "$home/.ssh/authorized_keys"
  done
  restorecon -RF /etc/ssh /etc/hostname /etc/hosts /etc/lab-network /root /home
}

main
