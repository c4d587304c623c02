#!/bin/sh
# Tries ssh-reverse-tunnel on this host, which should be a fresh one: a tunnel from it to itself, made and removed by the
# project's own scripts, without Pulumi. Prints a table, and leaves nothing behind. Written by `make try-host`.
# shellcheck disable=SC1091,SC2016,SC2317,SC2329  # what calls script and at_end is not seen here
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

usage="usage: sh try-host.sh — as root, on a fresh host that you can throw away, with sshd on port 22
It builds a tunnel from this host to itself, prints a table (pass, FAIL, skip, info), and removes all again, also when it
is interrupted. Status: 0 where nothing failed, 1 where something did, 2 where it cannot run here."
case ${1-} in
  '') ;;
  -h | --help)
    printf '%s\n' "$usage"
    exit 0
    ;;
  *)
    printf '%s\n' "$usage" >&2
    exit 2
    ;;
esac
[ "$(id -u)" = 0 ] || { echo "run this as root" >&2 && exit 2; }
[ ! -e /var/lib/ssh-reverse-tunnel ] || { echo "ssh-reverse-tunnel is in use on this host: take a fresh one" >&2 && exit 2; }

# However it ends. What it is piped into (tee) may be gone by then, and a second Ctrl-C must not stop it.
at_end() {
  ae_status=$?
  trap - EXIT
  trap '' HUP INT PIPE TERM
  [ -z "$APPLIED" ] || remove_all
  rm -rf "$work"
  exit "$ae_status"
}

APPLIED=
work=$(mktemp -d) || exit 1
trap at_end EXIT
trap 'exit 1' HUP INT PIPE TERM
: >"$work/names"
: >"$work/keys.sed"
: >"$work/table"
started=$(date '+%Y-%m-%d %H:%M:%S')

# script NAME removes|stays <text — the text travels to the host as it is.
script() {
  cat >"$work/$1.sh"
  echo "$1 $2" >>"$work/names"
}

# use_keys NAME — puts the keys that a script has printed in the place of what stands for them: "key ACCOUNT/FILE KEY", and
# the keys of the host by the name of the script.
use_keys() {
  sed -n 's/^key \([^ ]* [^ ]* [^ ]*\).*/\1/p' "$work/out" >"$work/printed"
  grep -m 1 -E '^(ssh-ed25519|ecdsa-sha2-[a-z0-9-]+) ' "$work/out" | cut -d' ' -f1,2 | sed "s/^/$1 /" >>"$work/printed"
  while read -r uk_name uk_key; do
    uk_stands="ssh-ed25519 AAAA$(printf %s "$uk_name" | od -An -v -tx1 | tr -d ' \n')"
    echo "s|$uk_stands|$uk_key|g" >>"$work/keys.sed"
  done <"$work/printed"
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

# run NAME VERB — a script, as Pulumi runs it. A Ctrl-C waits until it is over: a useradd that is cut off would leave
# /etc/passwd.lock.
run() (
  trap '' HUP INT TERM
  sed -f "$work/keys.sed" "$work/$1.sh" | sh -s -- "$2" >"$work/out" 2>"$work/err"
)

# The error of the script that ran last.
sentence() { grep -m 1 '^error: ' "$work/err" || tail -n 1 "$work/err"; }

facts() {
  echo "== facts"
  row info distribution "$(. /etc/os-release && echo "$PRETTY_NAME")"
  row info kernel "$(uname -srm)"
  row info sh "$(readlink -f /bin/sh)"
  row info OpenSSH "$(ssh -V 2>&1)"
  row info systemd "$(systemctl --version | head -n 1)"
  row info "SELinux mode" "$(selinux_mode)"
  row info "SELinux policy" "$(policy)"
  row info firewalld "$(firewall-cmd --version 2>/dev/null || echo none) $(firewall-cmd --state 2>/dev/null)"
  row info ufw "$(ufw status 2>/dev/null | head -n 1)"
}

selinux_mode() {
  if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then getenforce; else echo "not enabled"; fi
}

policy() {
  [ "$(selinux_mode)" != "not enabled" ] || { echo none && return; }
  echo "$(sed -n 's/^SELINUXTYPE=//p' /etc/selinux/config), $(rpm -q selinux-policy 2>/dev/null || echo 'no package of that name')"
}

apply_all() {
  echo "== up"
  while read -r name _; do
    APPLIED="$name $APPLIED"
    if run "$name" apply; then
      row pass "$name"
      use_keys "$name"
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
  check "the health check runs" systemctl start ssh-tunnels-ssh-reverse-tunnel-dev-health.service
  check "no unit of it has failed" sh -c "! systemctl list-units --failed --no-legend 'ssh-tunnel*' | grep ."
  wo_pid=$(systemctl show -P MainPID ssh-tunnel-try)
  systemctl kill --signal KILL ssh-tunnel-try.service
  check "it starts again after a kill" sh -c "! systemctl show -P MainPID ssh-tunnel-try | grep -qxE '0|$wo_pid'"
  check "and ssh try-host logs in through it" ssh -n try-host true
  ssh-tunnel-status
}

# What holds on a host that enforces, while the tunnel runs. Elsewhere nothing of it is shown, and none of it passes.
selinux() {
  echo "== SELinux"
  if [ "$(selinux_mode)" != Enforcing ]; then
    for what in "it enforces" "the ports have their type" "the unit's program is of a type that systemd may start" \
      "ssh runs in the unit" "it has denied nothing"; do row skip "SELinux: $what" "$(selinux_mode)"; done
    return 0
  fi
  row pass "SELinux: it enforces"
  check "SELinux: the ports have their type" sh -c 'for port in 20022 20023; do
    semanage port -l -n | grep -E "^ssh_port_t +tcp " | grep -qw $port || { echo "port $port is not ssh_port_t"; exit 1; }
  done'
  se_program=$(systemctl show -P ExecStart ssh-tunnel-try | sed -n 's/.*path=\([^ ;]*\).*/\1/p')
  check "SELinux: the unit's program is of a type that systemd may start" \
    sh -c "stat -c %C '$se_program' | tee /dev/stderr | grep -q ':bin_t:'"
  check "SELinux: ssh runs in the unit" sh -c 'ps -o label=,comm= -p "$(paste -sd, \
    "/sys/fs/cgroup$(systemctl show -P ControlGroup ssh-tunnel-try)/cgroup.procs")" | tee /dev/stderr | grep -q " ssh$"'
}

remove_all() {
  echo "== destroy"
  for name in $APPLIED; do
    grep -qxF "$name removes" "$work/names" || continue
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

# What must be as before: each file with mode, owner, link and content, but for what any change of accounts and policy
# writes anew; firewall and port types as they run.
state() {
  find /etc /root /opt /usr/local /var/lib/ssh-reverse-tunnel* /var/lib/tunnel-* /run/ssh-tunnel* -xdev \
    ! -path '/etc/*-' ! -path '/etc/selinux/*/policy/*' ! -name .cache ! -name .bash_history \
    -printf '%p %M %u:%g %l ' \( -type f -exec sha256sum {} \; -o -print \) 2>/dev/null | sort
  systemctl list-units --all --plain --no-legend 'ssh-tunnel*' 'ssh-reverse-tunnel-*'
  firewall-cmd --list-all-zones 2>/dev/null
  ufw show added 2>/dev/null
  semanage port -l -n -C 2>/dev/null
}

main() {
  facts
  state >"$work/before"
  if apply_all; then
    apply_again
    works
    selinux
  fi
  remove_all
  state >"$work/after"
  if diff "$work/before" "$work/after"; then row pass "nothing is left behind"; else row FAIL "nothing is left behind" "see the lines above"; fi
  if [ "$(selinux_mode)" = Enforcing ]; then
    denials >"$work/denied"
    cat "$work/denied"
    if [ -s "$work/denied" ]; then
      row FAIL "SELinux: it has denied nothing" "see the lines above"
    else
      row pass "SELinux: it has denied nothing"
    fi
  fi
  echo "== $(grep -c ^pass "$work/table") passed, $(grep -c ^FAIL "$work/table") failed, $(grep -c ^skip "$work/table") skipped"
  grep ^FAIL "$work/table" && exit 1
  exit 0
}

# SCRIPTS
main
