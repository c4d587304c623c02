# shellcheck shell=sh
# Looks whether this host can be managed, and prints its public host keys, one a line. Runs as the admin itself,
# so that a missing right to sudo gets a sentence of its own. Changes nothing.
#   NEEDS_SERVER  yes where tunnels end on this host
# shellcheck disable=SC2034
LOCK=no

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -- "$@"; fi
}

apply() {
  if [ "$(id -u)" != 0 ]; then
    need_cmd sudo
    sudo -n -- sh -c : 2>/dev/null ||
      fail "the admin '$(id -un)' may not use sudo without a password; add '$(id -un) ALL=(ALL) NOPASSWD: ALL' to a file in /etc/sudoers.d, or let root be the admin"
  fi
  [ -d /run/systemd/system ] ||
    fail "systemd is not running here (PID 1 is '$(cat /proc/1/comm)'); a host of a tunnel needs systemd"
  need_cmd ssh openssh-client
  need_cmd sshd openssh-server
  need_cmd setpriv util-linux
  if [ "$NEEDS_SERVER" = yes ]; then
    need_cmd ss iproute2
    version=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$version" ] || fail "ssh -V says '$(ssh -V 2>&1)'; the public host needs OpenSSH 7.8 or later"
    [ $((${version% *} * 100 + ${version#* })) -ge 708 ] ||
      fail "this is OpenSSH ${version% *}.${version#* }; the public host needs 7.8 or later, which knows permitlisten"
  fi
  settings=$(sshd_settings 2>/dev/null) ||
    fail "sshd does not accept its own configuration here: $(sshd_settings 2>&1 >/dev/null | head -n 1); mend that first ('sshd -t' checks it)"
  keys=$(printf '%s\n' "$settings" | sed -n 's/^hostkey //p')
  for key in $keys; do
    [ ! -f "$key.pub" ] || cut -d' ' -f1,2 "$key.pub"
  done
}

# As sshd_effective, with the rights that sshd needs to read its keys.
sshd_settings() { as_root sshd -T -C "user=root,host=127.0.0.1,addr=127.0.0.1,laddr=127.0.0.1,lport=22"; }

main "$@"
