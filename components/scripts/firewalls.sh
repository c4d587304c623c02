# shellcheck shell=sh
# How firewalld and ufw are asked and told about a port that others may reach: "8080 to 192.0.2.1 from 203.0.113.0/24", of
# which either may be missing; for firewalld with its state and zone before it: "--permanent public 8080".

# parse PORT [to ADDRESS] [from NETWORK] — into port, to and from.
parse() {
  port=$1 to='' from=''
  while [ $# -gt 1 ]; do
    case $2 in to) to=$3 ;; from) from=$3 ;; esac
    shift 2
  done
}

# Asked once: each firewall-cmd takes a quarter of a second.
FIREWALLD=
firewalld_active() {
  [ -n "$FIREWALLD" ] || FIREWALLD=$(command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --state 2>/dev/null || echo not running)
  [ "$FIREWALLD" = running ]
}

ufw_active() { command -v ufw >/dev/null 2>&1 && ufw status 2>/dev/null | grep -q '^Status: active'; }

read_zones() {
  zo_active=$(firewall-cmd --get-active-zones)
  zo_default=$(firewall-cmd --get-default-zone)
}

# zones_of [ADDRESS] — firewalld's zones in which what others send there arrives: that of the address's interface, or that
# of each; and those that take networks, on whatever interface. One that refuses such networks altogether is meant to.
zones_of() {
  if [ -z "$1" ]; then
    zo_zones="$zo_default $(bound interfaces)" # the default zone has interfaces that come later, too
  else
    zo_link=$(ip -o address show to "$1" | awk '{ print $2; exit }')
    zo_zones=$(bound interfaces "${zo_link:-none}")
    zo_zones=${zo_zones:-$zo_default}
  fi
  for zo_zone in $(bound sources); do
    firewall-cmd --info-zone "$zo_zone" | grep -qE '^ *target: (DROP|%%REJECT%%)$' || zo_zones="$zo_zones $zo_zone"
  done
  # shellcheck disable=SC2086  # words
  printf '%s\n' $zo_zones | sort -u
}

# bound KIND [NAME] — the active zones that have interfaces or sources, or the one that has this.
bound() {
  printf '%s\n' "$zo_active" | awk -v kind="$1:" -v name="${2-}" '
    /^[^ ]/ { zone = $1 }
    $1 == kind { for (i = 2; i <= NF; i++) if (name == "" || $i == name) { print zone; next } }'
}

# firewalld VERB "STATE ZONE PORT…" — asks (query), adds or removes. Where it does not run, in its files.
firewalld() {
  fw_verb=$1
  # shellcheck disable=SC2086  # words
  set -- $2
  fw_state=$1
  fw_zone=$2
  shift 2
  fw_option=$(firewalld_option "$fw_verb" "$@")
  if ! firewalld_active; then
    [ "$fw_state" = --running ] || firewall-offline-cmd --quiet --zone "$fw_zone" "$fw_option"
  elif [ "$fw_state" = --running ]; then
    firewall-cmd --quiet --zone "$fw_zone" "$fw_option"
  else
    firewall-cmd --quiet --permanent --zone "$fw_zone" "$fw_option"
  fi
}

# firewalld_option VERB PORT… — a port where everyone may come to every address, else a rich rule
# (firewalld.richlanguage(5)).
firewalld_option() {
  fo_verb=$1
  shift
  parse "$@"
  if [ -z "$from$to" ]; then
    printf -- '--%s-port=%s/tcp' "$fo_verb" "$port"
    return 0
  fi
  case $from$to in *:*) fo_rule='rule family="ipv6"' ;; *) fo_rule='rule family="ipv4"' ;; esac
  [ -z "$from" ] || fo_rule="$fo_rule source address=\"$from\""
  [ -z "$to" ] || fo_rule="$fo_rule destination address=\"$to\""
  printf -- '--%s-rich-rule=%s port port="%s" protocol="tcp" accept' "$fo_verb" "$fo_rule" "$port"
}

is_open_firewalld() { firewalld query "$1"; }

# Shell text that closes it: as the host boots, when firewalld does not run yet, in its files.
close_firewalld_text() {
  # shellcheck disable=SC2086  # words
  set -- $1
  cf_state=$1
  cf_close="--zone $2"
  shift 2
  cf_close="$cf_close '$(firewalld_option remove "$@")'"
  if [ "$cf_state" = --running ]; then
    printf '%s' "[ \"\$how\" = boot ] || firewall-cmd --quiet $cf_close"
  else
    printf '%s' "if [ \"\$how\" = boot ]; then firewall-offline-cmd $cf_close; else firewall-cmd --quiet --permanent $cf_close; fi"
  fi
}

# ufw_rule PORT… — as ufw(8) takes it. Its shorter form, "8080/tcp", comes to the same.
ufw_rule() {
  parse "$@"
  printf 'proto tcp from %s to %s port %s' "${from:-any}" "${to:-any}" "$port"
}

# As "ufw show added" has it.
is_open_ufw() {
  # shellcheck disable=SC2086  # words
  parse $1
  if [ -z "$from$to" ]; then
    iu_rules="ufw allow $port/tcp${NL}ufw allow $port"
  else
    iu_rules="ufw allow${from:+ from $from} to ${to:-any} port $port"
    iu_rules="$iu_rules proto tcp$NL$iu_rules"
  fi
  ufw show added | sed "s/ comment '.*'\$//" | grep -qxF -e "$iu_rules"
}

# shellcheck disable=SC2046,SC2086  # words
close_ufw_text() { printf 'ufw delete allow %s >/dev/null' "$(ufw_rule $1)"; }
