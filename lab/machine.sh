#!/bin/sh
# One host's hardware: its disk, its network card, and the power that starts it again after a reboot.
#
# Runs detached, in a mount namespace of its own: the disk's mount and the card's namespace vanish with it, however
# it ends. Everything it starts lives in one control group, by which the lab finds and kills it. From the
# environment: HOST, MACHINE, LAB_FOLDER, IMAGE, CGROUP, SWITCH, MAC, ADDRESS, ADDRESS6.
set -eu

main() {
  echo $$ >"$CGROUP/power/cgroup.procs"
  cd "$LAB_FOLDER"
  mount -t overlay lab -o "lowerdir=$IMAGE,upperdir=upper,workdir=work,redirect_dir=off,metacopy=off" root
  # What systemd-nspawn keeps for a host on this machine vanishes with the host, too.
  mkdir -p /run/systemd/nspawn
  mount -t tmpfs lab /run/systemd/nspawn
  status=133
  # systemd-nspawn says by this exit code that the host asked for a reboot.
  while [ "$status" -eq 133 ]; do
    plug_in
    empty_cgroup
    status=0
    sh -c 'echo $$ >"$CGROUP/machine/cgroup.procs" && exec "$@"' sh \
      systemd-nspawn --quiet --boot --register=no --keep-unit --directory="$LAB_FOLDER/root" \
      --machine="$MACHINE" --hostname="$HOST" --network-namespace-path="$LAB_FOLDER/netns" \
      --capability=CAP_NET_ADMIN --resolv-conf=off --timezone=off --link-journal=no --console=pipe || status=$?
    unplug
  done
}

# A new network namespace for each boot, as a restarted kernel has no sockets and no firewall rules.
plug_in() {
  : >netns
  unshare --net=netns true
  inside ip link add eth0 address "$MAC" type veth peer name "to-$HOST" netns "$SWITCH"
  ip -n "$SWITCH" link set "to-$HOST" master bridge up
  inside ip addr add "$ADDRESS/24" dev eth0
  # Machines without IPv6 are still good for a lab.
  inside ip addr add "$ADDRESS6/64" dev eth0 nodad 2>/dev/null || true
  inside ip link set eth0 up
  if [ -e cut ]; then bridge -n "$SWITCH" link set dev "to-$HOST" state 0; fi
}

unplug() {
  ip -n "$SWITCH" link del "to-$HOST" 2>/dev/null || true
  umount netns
}

inside() { nsenter --net=netns "$@"; }

# systemd-nspawn divides the group it starts in, and cannot start again in a divided one.
empty_cgroup() {
  tries=0
  until find "$CGROUP/machine" -depth -type d -exec rmdir {} + 2>/dev/null && mkdir "$CGROUP/machine"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ]; then
      echo "error: processes of the last boot are still alive in $CGROUP" >&2
      exit 1
    fi
    sleep 0.05
  done
}

main
