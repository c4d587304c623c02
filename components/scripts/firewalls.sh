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

# Asked once: each firewall-cmd is a Python that starts, half a second.
FIREWALLD=
firewalld_active() {
  [ -n "$FIREWALLD" ] || FIREWALLD=$(command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --state 2>/dev/null || echo not running)
  [ "$FIREWALLD" = running ]
}

ufw_active() { command -v ufw >/dev/null 2>&1 && ufw status 2>/dev/null | grep -q '^Status: active'; }

zo_running='' zo_permanent='' zo_default='' zo_services=''

# All zones, in both states.
read_zones() {
  zo_running=$(firewall-cmd --list-all-zones) && zo_permanent=$(firewall-cmd --permanent --list-all-zones) &&
    zo_default=$(firewall-cmd --get-default-zone) ||
    fail "cannot read the zones of firewalld; see the lines before this one"
}

# zone STATE ZONE — what firewalld says of it, as --info-zone does.
zone() {
  case $1 in --running) printf '%s\n' "$zo_running" ;; *) printf '%s\n' "$zo_permanent" ;; esac |
    awk -v zone="$2" '/^[^ \t]/ { in_it = $1 == zone } in_it && NF'
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
    zone --running "$zo_zone" | grep -qE '^ *target: (DROP|%%REJECT%%)$' || zo_zones="$zo_zones $zo_zone"
  done
  # shellcheck disable=SC2086  # words
  printf '%s\n' $zo_zones | sort -u
}

# bound KIND [NAME] — the zones that have interfaces or sources, or the one that has this.
bound() {
  printf '%s\n' "$zo_running" | awk -v kind="$1:" -v name="${2-}" '
    /^[^ \t]/ { zone = $1 }
    $1 == kind { for (i = 2; i <= NF; i++) if (name == "" || $i == name) { print zone; next } }'
}

# firewalld STATE ZONE OPTION… — tells it. Where it does not run, its files. Of several options that it is given, it is
# silent by its status about those that fail, and not in its messages.
firewalld() {
  zo_permanent= # is no longer so
  fw_state=$1
  fw_zone=$2
  shift 2
  if ! firewalld_active; then
    [ "$fw_state" = --running ] || firewall-offline-cmd --quiet --zone "$fw_zone" "$@"
    return
  fi
  [ "$fw_state" = --permanent ] || fw_state=
  fw_said=$(firewall-cmd ${fw_state:+"$fw_state"} --zone "$fw_zone" "$@" 2>&1) || {
    fw_status=$?
    say "$fw_said"
    return "$fw_status"
  }
  case $(printf '%s\n' "$fw_said" | grep -v -e ALREADY_ENABLED -e NOT_ENABLED) in
    *Warning:*)
      say "$fw_said"
      return 1
      ;;
  esac
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

# is_open_firewalld "STATE ZONE PORT…" — by the same rule, or one for more ports.
is_open_firewalld() {
  # shellcheck disable=SC2086  # words
  set -- $1
  io_state=$1
  io_zone=$2
  shift 2
  io_option=$(firewalld_option add "$@")
  case $io_option in
    --add-rich-rule=*) zone "$io_state" "$io_zone" | sed 's/^[[:space:]]*//' | grep -qxF -e "${io_option#*=}" ;;
    *) zone "$io_state" "$io_zone" | awk '$1 == "ports:"' | has_port "$1" ;;
  esac
}

# has_port PORT <text — whether this port is in one of "8080/tcp 8000-8100/tcp", or of ufw's "80,8000:8100/tcp".
has_port() {
  awk -v port="$1" '{
      count = split($0, words, /[ ,]+/)
      for (i = 1; i <= count; i++) {
        if (!sub(/\/tcp$/, "", words[i]) && words[i] ~ /\//) continue
        last = split(words[i], range, /[-:]/)
        if (port >= range[1] + 0 && port <= range[last] + 0) found = 1
      }
    }
    END { exit !found }'
}

# The services of these zones, "NAME PORT…" a line: asked for only where it matters.
read_services() {
  for rv_service in $(for rv_zone; do zone --running "$rv_zone" && zone --permanent "$rv_zone"; done | sed -n 's/^  services: //p'); do
    case $NL$zo_services in *"$NL$rv_service "*) continue ;; esac
    zo_services="$zo_services$rv_service $(firewall-cmd --info-service "$rv_service" | sed -n 's/^  ports: //p')$NL"
  done
}

# stranger_of_firewalld "STATE ZONE PORT" — says by what else than an open port everyone may reach it, if at all.
stranger_of_firewalld() {
  # shellcheck disable=SC2086  # words
  set -- $1
  sf_zone=$(zone "$1" "$2")
  if printf '%s\n' "$sf_zone" | grep -qx '  target: ACCEPT'; then
    echo "the zone $2 of firewalld, which accepts everything"
    return 0
  fi
  for sf_service in $(printf '%s\n' "$sf_zone" | sed -n 's/^  services: //p'); do
    printf '%s' "$zo_services" | sed -n "s/^$sf_service //p" | has_port "$3" || continue
    echo "the service $sf_service in firewalld's zone $2"
    return 0
  done
  ! printf '%s\n' "$sf_zone" | grep -E '^[[:space:]]+rule .*accept' | grep -vE ' (source|destination) ' |
    sed -n 's/.* port port="\([0-9-]*\)" protocol="tcp" .*/\1\/tcp/p' | has_port "$3" ||
    echo "a rule of firewalld that is not ours"
}

# The same for ufw, "PORT".
stranger_of_ufw() {
  if ufw status verbose | grep -q '^Default: allow (incoming)'; then
    echo "ufw, which allows by default what comes in"
  elif ufw show added | sed -n 's/^ufw allow \([0-9,:]*\(\/tcp\)\{0,1\}\)\( comment .*\)\{0,1\}$/\1/p' | grep -vxF -e "$1/tcp" -e "$1" | has_port "$1"; then
    echo "a rule of ufw that is not ours"
  fi
}

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
