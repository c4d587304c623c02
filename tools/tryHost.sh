#!/bin/sh
# Tries ssh-reverse-tunnel on this host, which should be a fresh one: a tunnel from it to itself, made and removed by the
# project's own scripts, without Pulumi. Prints a table, and leaves nothing behind. Written by `make try-host`.
# shellcheck disable=SC1091,SC2317,SC2329  # what calls script and at_end is not seen here
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

work=$(mktemp -d) || exit 1
: >"$work/names"
: >"$work/keys.sed"
: >"$work/table"
started=$(date '+%Y-%m-%d %H:%M:%S')
APPLIED=

# script NAME KEY removes|stays <text — the text travels to the host as it is; KEY stands for a key that it prints.
script() {
  cat >"$work/$1.sh"
  echo "$1 $3 $2" >>"$work/names"
}

# row RESULT WHAT [DETAIL]
row() {
  printf '%-4s  %s%s\n' "$1" "$2" "${3:+: $3}" | tee -a "$work/table"
}

# check WHAT COMMAND… — with a limit of half a minute.
check() {
  ch_what=$1
  shift
  ch_until=$(($(date +%s) + 30))
  until "$@" >"$work/said" 2>&1; do
    if [ "$(date +%s)" -ge "$ch_until" ]; then
      row FAIL "$ch_what" "$(tail -n 1 "$work/said")"
      return 1
    fi
    sleep 0.5
  done
  row pass "$ch_what"
}

# run NAME VERB — a script, as Pulumi runs it.
run() { sed -f "$work/keys.sed" "$work/$1.sh" | sh -s -- "$2" >"$work/out" 2>"$work/err"; }

# The error of the script that ran last.
sentence() { grep -m 1 '^error: ' "$work/err" || tail -n 1 "$work/err"; }

facts() {
  echo "== facts"
  (. /etc/os-release && echo "system    $PRETTY_NAME")
  echo "kernel    $(uname -srm)"
  echo "sh        $(readlink -f /bin/sh)"
  echo "OpenSSH   $(ssh -V 2>&1)"
  echo "systemd   $(systemctl --version | head -n 1)"
  echo "SELinux   $(getenforce 2>/dev/null || echo none) $(sed -n 's/^SELINUXTYPE=//p' /etc/selinux/config 2>/dev/null)"
  echo "policy    $(rpm -q selinux-policy 2>/dev/null || echo unknown), $(command -v semanage || echo 'no semanage')"
  echo "firewalld $(firewall-cmd --version 2>/dev/null || echo none) $(firewall-cmd --state 2>/dev/null)"
  echo "ufw       $(ufw status 2>/dev/null | head -n 1)"
}

apply_all() {
  echo "== up"
  while read -r name _ key; do
    APPLIED="$name $APPLIED"
    if run "$name" apply; then
      row pass "$name"
      printed=$(grep -m 1 -E '^(ssh-ed25519|ecdsa-sha2-[a-z0-9-]+) ' "$work/out" | cut -d' ' -f1,2)
      [ -z "$printed" ] || echo "s|$key|$printed|g" >>"$work/keys.sed"
    elif grep -q 'neither firewalld nor ufw is active' "$work/err"; then
      row skip "$name" "no firewall is active"
    else
      row FAIL "$name" "$(sentence)"
      return 1
    fi
    # A change of sshd that nobody confirms: the rollback itself, which waits a minute, is started at once.
    case $name in *-server-change) roll_back "$name" || return 1 ;; esac
  done <"$work/names"
}

roll_back() {
  check "the rollback of sshd runs" systemctl start ssh-reverse-tunnel-dev-sshd-rollback.service
  check "and has removed the drop-in" test ! -e /etc/ssh/sshd_config.d/00-ssh-reverse-tunnel-dev.conf
  run "$1" apply || row FAIL "$1 again" "$(sentence)"
}

apply_again() {
  while read -r name _; do
    run "$name" apply
    ! grep -q '^changed: ' "$work/err" || row FAIL "$name, a second time, changes nothing" "$(grep -m 1 '^changed: ' "$work/err")"
  done <"$work/names"
  echo "      each script has run a second time"
}

works() {
  echo "== the tunnel"
  check "ssh try-host logs in through it" ssh -n try-host true
  check "the watchdog runs" systemctl start ssh-tunnel-try-watchdog.service
  check "the health check runs" systemctl start ssh-tunnel-try-health.service
  check "no unit of it has failed" sh -c "! systemctl list-units --failed --no-legend 'ssh-tunnel-*' | grep ."
  wo_pid=$(systemctl show -P MainPID ssh-tunnel-try)
  systemctl kill --signal KILL ssh-tunnel-try.service
  check "it starts again after a kill" sh -c "! systemctl show -P MainPID ssh-tunnel-try | grep -qxE '0|$wo_pid'"
  check "and ssh try-host logs in through it" ssh -n try-host true
  ssh-tunnel-status
}

remove_all() {
  echo "== destroy"
  for name in $APPLIED; do
    grep -q "^$name removes " "$work/names" || continue
    run "$name" remove || row FAIL "$name remove" "$(sentence)"
  done
  APPLIED=
}

# What SELinux has denied since, if there is one. Its journal is that of the audit daemon, or of the kernel.
denials() {
  if command -v ausearch >/dev/null 2>&1; then
    ausearch -m avc,user_avc -ts "$(date -d "$started" +%x)" "$(date -d "$started" +%X)" 2>/dev/null
  fi
  journalctl -k -q --since "$started" | grep 'avc: *denied'
}

# Each file with mode, owner, link and content, but for what any change of accounts and policy writes anew.
files() {
  find /etc /root /usr/local /var/lib/ssh-reverse-tunnel* /var/lib/tunnel-* -xdev \
    ! -path '/etc/*-' ! -path '/etc/selinux/*/policy/*' ! -name .cache ! -name .bash_history \
    -printf '%p %M %u:%g %l ' \( -type f -exec sha256sum {} \; -o -print \) 2>/dev/null | sort
}

at_end() {
  trap - EXIT INT TERM
  [ -z "$APPLIED" ] || remove_all
  rm -rf "$work"
}

main() {
  [ "$(id -u)" = 0 ] || { echo "run this as root" >&2 && exit 2; }
  [ ! -e /var/lib/ssh-reverse-tunnel ] || { echo "ssh-reverse-tunnel is in use on this host: take a fresh one" >&2 && exit 2; }
  trap at_end EXIT
  trap 'exit 1' INT TERM
  facts
  files >"$work/before"
  if apply_all; then
    apply_again
    works
  fi
  remove_all
  files >"$work/after"
  if diff "$work/before" "$work/after"; then row pass "nothing is left behind"; else row FAIL "nothing is left behind" "see the lines above"; fi
  if denials >"$work/denied" && [ -s "$work/denied" ]; then
    cat "$work/denied"
    row FAIL "SELinux has denied nothing" "see the lines above"
  else
    row pass "SELinux has denied nothing" "$(getenforce 2>/dev/null || echo 'there is none')"
  fi
  echo "== $(grep -c ^pass "$work/table") passed, $(grep -c ^FAIL "$work/table") failed, $(grep -c ^skip "$work/table") skipped"
  grep ^FAIL "$work/table" && exit 1
  exit 0
}

# SCRIPTS
main
