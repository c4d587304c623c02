#!/bin/sh
# One guest's hardware: its disk, its network card, its processors. Runs in the network namespace of its lab, and ends
# with the guest. Arguments are further options of QEMU. From the environment: HOST, LAB_FOLDER, IMAGE, ACCEL; CGROUP,
# where all of it is to live; BOOTED, where the guest is to wake up as one that has booted already.
set -eu

main() {
  [ -z "$CGROUP" ] || echo $$ >"$CGROUP/power/cgroup.procs"
  cd "$LAB_FOLDER"
  plug_in
  if [ -e disk.qcow2 ]; then
    machine "$@"
  elif [ -n "$BOOTED" ]; then
    qemu-img create -q -f qcow2 -F qcow2 -b "$BOOTED/disk.qcow2" disk.qcow2
    # Where this QEMU cannot wake it up, to the disk it is as if the plug had been pulled.
    machine "$@" -incoming "exec:cat '$BOOTED/memory'" || machine "$@"
  else
    qemu-img create -q -f qcow2 -F raw -b "$IMAGE/disk.raw" disk.qcow2
    as_this='exec' # whoever waits for this process waits for the guest
    machine "$@"
  fi
}

plug_in() {
  ip link del "to-$HOST" 2>/dev/null || :
  ip tuntap add dev "to-$HOST" mode tap
  ip link set "to-$HOST" up
  [ -n "$CGROUP" ] || return 0
  ip link set "to-$HOST" master bridge
  [ ! -e cut ] || bridge link set dev "to-$HOST" state 0
}

# A guest that restarts does so within QEMU. All guests have the same hardware, its address too: those inside differ.
as_this=
machine() {
  $as_this qemu-system-x86_64 -name "$HOST" -machine q35 -accel "$ACCEL" -cpu max -smp 2 -m 1024 \
    -nodefaults -no-user-config -display none -chardev file,id=log,path=console.log,append=on -serial chardev:log \
    -kernel "$IMAGE/vmlinuz" -initrd "$IMAGE/initrd" \
    -append 'root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet security=selinux selinux=1 enforcing=1 audit=1' \
    -drive file=disk.qcow2,format=qcow2,if=virtio -drive file=identity.img,format=raw,if=virtio \
    -netdev "tap,id=net,ifname=to-$HOST,script=no,downscript=no" \
    -device virtio-net-pci,netdev=net,mac=02:1a:b0:00:00:02,romfile= -device virtio-rng-pci "$@"
}

main "$@"
