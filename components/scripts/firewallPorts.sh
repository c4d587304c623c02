# shellcheck shell=sh
# needs: record
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw.
#   PORTS  numbers, one a line
apply() {
  if firewalld_active; then
    zone=$(firewall-cmd --get-default-zone)
    for port in $PORTS; do open_firewalld "$zone" "$port"; done
  elif ufw_active; then
    for port in $PORTS; do open_ufw "$port"; done
  else
    say "note: $HOST: neither firewalld nor ufw is active here; no port needs opening"
  fi
}

firewalld_active() { command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --quiet --state 2>/dev/null; }

ufw_active() { command -v ufw >/dev/null 2>&1 && ufw status 2>/dev/null | grep -q '^Status: active'; }

# firewalld keeps two states, the running one and the permanent one: each is asked and set.
open_firewalld() {
  for of_state in --permanent ""; do
    # shellcheck disable=SC2086  # empty means the running state
    if firewall-cmd --quiet $of_state --zone "$1" --query-port "$2/tcp"; then
      share firewalld "${of_state:---running} $1 $2" yes
    else
      share firewalld "${of_state:---running} $1 $2" no
      # shellcheck disable=SC2086
      firewall-cmd --quiet $of_state --zone "$1" --add-port "$2/tcp" || fail "firewall-cmd cannot open port $2 in the zone $1"
      changed "opened port $2 in firewalld's zone $1 ${of_state:+(permanent)}"
    fi
  done
}

undo_firewalld() {
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2086  # three words: state, zone, port
  set -- $1
  state=$1
  if [ "$state" = --running ]; then
    firewalld_active || return 0
    state=
  elif ! firewalld_active; then
    firewall-offline-cmd --zone "$2" --remove-port "$3/tcp" >/dev/null || fail "firewall-offline-cmd cannot close port $3"
    changed "closed port $3 in firewalld's zone $2"
    return 0
  fi
  # shellcheck disable=SC2086
  firewall-cmd --quiet $state --zone "$2" --remove-port "$3/tcp" || fail "firewall-cmd cannot close port $3 in the zone $2"
  changed "closed port $3 in firewalld's zone $2 ${state:+(permanent)}"
}

open_ufw() {
  if ufw show added | grep -qxE "ufw allow $1(/tcp)?( comment .*)?"; then
    share ufw "$1" yes
  else
    share ufw "$1" no
    ufw allow "$1/tcp" comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $1"
    changed "opened port $1 in ufw"
  fi
}

undo_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  ufw delete allow "$1/tcp" >/dev/null || fail "ufw cannot close port $1"
  changed "closed port $1 in ufw"
}

main "$@"
