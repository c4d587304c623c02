#!/bin/sh
# A disk of its own under what a host keeps (/etc, /var/lib, /home, /opt, /usr/local), whose power can be cut: ext4 forgets all
# that is not on the disk, as a kernel that stops does. Runs in a mount namespace of its own.
#   disk.sh make FOLDER IMAGE             makes FOLDER/disk, of what the image has
#   disk.sh run FOLDER IMAGE SECONDS …    runs a command there, with our standard input, and cuts the power after so many
#                                         seconds of it; without a number, it ends in order
set -eu

main() {
  verb=$1 folder=$2 image=$3
  shift 3
  cd "$folder"
  mkdir -p disk.mnt root
  [ "$verb" = run ] || make
  mount -o loop,commit=1 disk disk.mnt
  if [ "$verb" = make ]; then
    fill
  else
    host
    run "$@"
  fi
}

make() {
  truncate -s 96M disk
  mke2fs -q -t ext4 disk
}

fill() {
  cp -a "$image/etc" "$image/home" "$image/opt" disk.mnt
  mkdir -p disk.mnt/lib disk.mnt/local
  cp -a "$image/usr/local/." disk.mnt/local
  ssh-keygen -q -t ed25519 -N "" -f disk.mnt/etc/ssh/ssh_host_ed25519_key
  # There is no systemd here that would answer.
  stub systemctl 'case $* in is-active*) echo active ;; *ActiveState*) echo ActiveState=active ;; esac'
  stub systemd-run ''
  umount disk.mnt
}

stub() {
  mkdir -p disk.mnt/local/sbin
  printf '#!/bin/sh\n%s\n' "$2" >"disk.mnt/local/sbin/$1"
  chmod 755 "disk.mnt/local/sbin/$1"
}

host() {
  mount --bind "$image" root
  mount -o remount,bind,ro root
  for part in etc home opt local lib; do
    case $part in local) at=usr/local ;; lib) at=var/lib ;; *) at=$part ;; esac
    mount --bind "disk.mnt/$part" "root/$at"
  done
  mount -t tmpfs tmpfs root/run
  mkdir root/run/sshd
  mount -t tmpfs tmpfs root/tmp
  mount -t proc proc root/proc
  mount --rbind /dev root/dev
}

run() {
  seconds=$1
  shift
  if [ -z "$seconds" ]; then
    status=0
    chroot root "$@" || status=$?
    umount -R root
    umount disk.mnt
    exit "$status"
  fi
  exec 3<&0 # what runs in the background has none of its own
  setsid chroot root "$@" <&3 3<&- &
  pid=$!
  # EXT4_IOC_SHUTDOWN, with nothing written any more, the journal neither.
  chroot root python3 -c "import fcntl, os, struct, time
disk = os.open('/etc', os.O_RDONLY)
time.sleep($seconds)
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))"
  kill -KILL -- "-$pid" 2>/dev/null || :
  wait "$pid" || :
}

main "$@"
