# shellcheck shell=sh
# needs: messages connection printable sshd
# Looks whether this host can be managed, and prints its public host keys, one a line; before them "key-types ecdsa" where
# its sshd accepts no ed25519 key of a user, for example in FIPS mode. Runs as the admin itself,
# so that a missing right to sudo gets a sentence of its own. Changes nothing.
#   NEEDS_SERVER  yes where tunnels end on this host
#   ROOT_SHELLS   command lines that begin a shell as root, one a line; where the admin is not root, the first that
#                 works is printed as well, behind "root-shell"
# Where the admin's login shell looks for sudo: main sets a path of its own.
OWN_PATH=${PATH-}
ROOT_SHELL=

apply() {
  local version settings key
  if [ "$(id -u)" = 0 ]; then
    ROOT_SHELL="sh -s --"
  else
    need_cmd sudo
    ROOT_SHELL=$(find_root_shell)
    printf 'root-shell %s\n' "$ROOT_SHELL"
  fi
  [ -d /run/systemd/system ] ||
    fail "systemd is not running here (PID 1 is '$(printable 1 </proc/1/comm)'); a host of a tunnel needs systemd"
  need_cmd ssh openssh-client
  need_cmd sshd openssh-server
  need_cmd setpriv util-linux
  need_cmd namei util-linux
  need_cmd timeout coreutils
  need_cmd flock util-linux
  need_cmd ss iproute2
  # The checks open connections with it: there is no netcat everywhere.
  need_cmd bash
  if [ "$NEEDS_SERVER" = yes ]; then
    version=$(ssh -V 2>&1 | sed -n 's/^OpenSSH_\([0-9]*\)\.\([0-9]*\).*/\1 \2/p')
    [ -n "$version" ] || fail "ssh -V says '$(ssh -V 2>&1 | printable 1)'; the public host needs OpenSSH 7.8 or later"
    [ $((${version% *} * 100 + ${version#* })) -ge 708 ] ||
      fail "this is OpenSSH ${version% *}.${version#* }; the public host needs 7.8 or later, which knows permitlisten"
  fi
  settings=$(sshd_settings 2>/dev/null) ||
    fail "sshd does not accept its own configuration here: $(sshd_settings 2>&1 >/dev/null | printable 1); correct that first ('sshd -t' checks it)"
  settings=$(printf '%s\n' "$settings" | with_lower_keywords)
  print_key_types "$(printf '%s\n' "$settings" | sed -n 's/^pubkeyaccepted[a-z]* //p')"
  printf '%s\n' "$settings" | sed -n 's/^hostkey //p' | while IFS= read -r key; do
    [ ! -f "$key.pub" ] || cut -d' ' -f1,2 "$key.pub"
  done
}

print_key_types() {
  case ",$1," in
    ,, | *,ssh-ed25519,*) ;;
    *,ecdsa-sha2-nistp256,*) echo "key-types ecdsa" ;;
    *)
      [ "$NEEDS_SERVER" != yes ] ||
        fail "sshd accepts neither ed25519 nor ecdsa keys of users here (PubkeyAcceptedAlgorithms $(printf '%s' "$1" | printable 1)); add ssh-ed25519 or ecdsa-sha2-nistp256 to them in sshd's configuration"
      ;;
  esac
}

# As that of sshd.sh, with the rights that sshd needs to read its keys.
ask_sshd() { as_root "$ROOT_SHELL" "sshd $(quoted_options) $*"; }

sshd_settings() {
  find_daemon
  ask_sshd -T -C "user=root,host=127.0.0.1,addr=127.0.0.1,laddr=127.0.0.1,lport=22"
}

# as_root ROOT_SHELL COMMAND — the very way that the other scripts take.
as_root() {
  printf 'PATH=%s LC_ALL=C\nexport PATH LC_ALL\n%s\n' "$PATH" "$2" |
    PATH=$OWN_PATH /usr/bin/timeout 20 /bin/sh -c "$1 apply"
}

# That the shell is root's is not enough: sudoers may forbid it to start programs (NOEXEC).
# shellcheck disable=SC2016  # it is for that shell
find_root_shell() {
  local said shell
  said=
  while IFS= read -r shell <&3; do
    if said=$said$NL$(as_root "$shell" '[ "$1 $(id -u)" = "apply 0" ]' 2>&1); then
      printf '%s' "$shell"
      return 0
    fi
  done 3<<EOF
$ROOT_SHELLS
EOF
  no_root_shell "${said#"$NL"}"
}

# no_root_shell SAID — says why, by what sudo has said to each of the ways in turn.
no_root_shell() {
  local admin advice rules
  admin=$(id -un)
  advice="add '$admin ALL=(ALL) NOPASSWD: ALL' to a file in /etc/sudoers.d, or let root be the admin"
  rules=$(sudo -n -l 2>/dev/null | sed -n '/NOPASSWD: / { s/^ *//; s/NOPASSWD: //; p; }' | paste -sd , - | printable 1)
  if [ -n "$rules" ]; then
    fail "the admin '$admin' may not start a shell as root with sudo, which allows without a password only $rules; $advice"
  fi
  case $1 in
    *"password is required"*)
      fail "the admin '$admin' may not use sudo without a password; $advice"
      ;;
    *"have a tty"*)
      fail "sudo wants a terminal here (requiretty), which only the command 'script' could give it, and that is missing or fails; install it (bsdutils or util-linux), or add 'Defaults:$admin !requiretty' to a file in /etc/sudoers.d"
      ;;
  esac
  fail "the admin '$admin' cannot become root, since sudo says '$(printf '%s\n' "$1" | printable 1)'; repair that, or let root be the admin"
}

# As that of lib.sh, which an edit of would otherwise make every host be looked at again.
main() {
  exec </dev/null
  cd /
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  LC_ALL=C
  export PATH LC_ALL
  trap at_exit EXIT
  set -eu
  apply
  say "unchanged: $HOST: $WHAT"
}

at_exit() {
  local status=$?
  trap - EXIT
  case $status in
    0 | 3) ;;
    *) say "error: $HOST: the script for $WHAT stopped unexpectedly (status $status); run 'pulumi up' again, which goes on from here" ;;
  esac
  if [ "$(id -u)" = 0 ]; then
    end_connection eval
  elif [ -n "$ROOT_SHELL" ]; then
    end_connection as_root "$ROOT_SHELL" >&2
  fi
  exit "$status"
}

main "$@"
