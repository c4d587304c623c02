# shellcheck shell=sh
# How firewalld and ufw are asked and told about a port that others may reach: "8080 to 192.0.2.1 from 203.0.113.0/24", of
# which either may be missing; for firewalld with its state and zone before it: "--permanent public 8080". Its rule for
# "from others" refuses all whom none of ours lets in, whatever other rules say: so all of these come before all others.

# parse PORT [to ADDRESS] [from NETWORK|others [within NETWORK]] — sets PORT, TO, FROM and WITHIN.
parse() {
  PORT=$1 TO='' FROM='' WITHIN=''
  while [ $# -gt 1 ]; do
    case $2 in to) TO=$3 ;; from) FROM=$3 ;; within) WITHIN=$3 ;; esac
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

RUNNING_ZONES='' PERMANENT_ZONES='' DEFAULT_ZONE=''

# All zones, in both states.
read_zones() {
  RUNNING_ZONES=$(firewall-cmd --list-all-zones) && PERMANENT_ZONES=$(firewall-cmd --permanent --list-all-zones) &&
    DEFAULT_ZONE=$(firewall-cmd --get-default-zone) ||
    fail "cannot read the zones of firewalld; see the lines before this one"
}

# zone STATE ZONE — what firewalld says of it, as --info-zone does.
zone() {
  case $1 in --running) printf '%s\n' "$RUNNING_ZONES" ;; *) printf '%s\n' "$PERMANENT_ZONES" ;; esac |
    awk -v zone="$2" '/^[^ \t]/ { in_it = $1 == zone } in_it && NF'
}

# zones_of [ADDRESS] — firewalld's zones in which what others send there arrives: that of the address's interface, or that
# of each; and those that take networks, on whatever interface. One that refuses such networks altogether is meant to.
zones_of() {
  local zones link zone
  if [ -z "$1" ]; then
    zones="$DEFAULT_ZONE $(bound interfaces)" # the default zone has interfaces that come later, too
  else
    link=$(ip -o address show to "$1" | awk '{ print $2; exit }')
    [ -n "$link" ] || say "note: $HOST: no interface has the address $1 now; firewalld's default zone is used for it"
    zones=$(bound interfaces "${link:-none}")
    zones=${zones:-$DEFAULT_ZONE}
  fi
  for zone in $(bound sources); do
    [ "$(target_of "$zone")" = refused ] || zones="$zones $zone"
  done
  # shellcheck disable=SC2086  # words
  printf '%s\n' $zones | sort -u
}

# target_of ZONE — what becomes of what no rule is about: "accepted" and "refused" by the zone's own word, else "default".
target_of() {
  case $(zone --running "$1" | sed -n 's/^ *target: //p') in
    ACCEPT) echo accepted ;;
    DROP | %%REJECT%%) echo refused ;;
    *) echo default ;;
  esac
}

# bound KIND [NAME] — the zones that have interfaces or sources, or the one that has this.
bound() {
  printf '%s\n' "$RUNNING_ZONES" | awk -v kind="$1:" -v name="${2-}" '
    /^[^ \t]/ { zone = $1 }
    $1 == kind { for (i = 2; i <= NF; i++) if (name == "" || $i == name) { print zone; next } }'
}

# firewalld STATE ZONE OPTION… — tells it. Where it does not run, its files. Of several options that it is given, it is
# silent by its status about those that fail, and not in its messages.
firewalld() {
  local state zone said status
  PERMANENT_ZONES= # is no longer so
  state=$1
  zone=$2
  shift 2
  if ! firewalld_active; then
    [ "$state" = --running ] || firewall-offline-cmd --quiet --zone "$zone" "$@"
    return
  fi
  [ "$state" = --permanent ] || state=
  said=$(firewall-cmd ${state:+"$state"} --zone "$zone" "$@" 2>&1) || {
    status=$?
    say "$said"
    return "$status"
  }
  case $(printf '%s\n' "$said" | grep -v -e ALREADY_ENABLED -e NOT_ENABLED) in
    *Warning:*)
      say "$said"
      return 1
      ;;
  esac
}

# firewalld_option VERB PORT… — a port where everyone may come to every address, else a rich rule
# (firewalld.richlanguage(5)). Those with a priority below zero come before all else in the zone, the lowest first.
firewalld_option() {
  local verb action rule
  verb=$1
  shift
  parse "$@"
  if [ -z "$FROM$TO" ]; then
    printf -- '--%s-port=%s/tcp' "$verb" "$PORT"
    return 0
  fi
  action=accept
  case $FROM in
    '') rule=rule ;;
    others)
      rule='rule priority="-100"' action=drop FROM=
      ;;
    *) rule='rule priority="-200"' ;;
  esac
  case $FROM$TO in
    '') ;;
    *:*) rule="$rule family=\"ipv6\"" ;;
    *) rule="$rule family=\"ipv4\"" ;;
  esac
  [ -z "$FROM" ] || rule="$rule source address=\"$FROM\""
  [ -z "$TO" ] || rule="$rule destination address=\"$TO\""
  printf -- '--%s-rich-rule=%s port port="%s" protocol="tcp" %s' "$verb" "$rule" "$PORT" "$action"
}

# is_open_firewalld "STATE ZONE PORT…" — by the same rule, or one for more ports.
is_open_firewalld() {
  local state zone option
  # shellcheck disable=SC2086  # words
  set -- $1
  state=$1
  zone=$2
  shift 2
  option=$(firewalld_option add "$@")
  case $option in
    --add-rich-rule=*) zone "$state" "$zone" | sed 's/^[[:space:]]*//' | grep -qxF -e "${option#*=}" ;;
    *) zone "$state" "$zone" | awk '$1 == "ports:"' | has_port "$1" ;;
  esac
}

# has_port PORT <text — whether this port is in one of "8080/tcp 8000-8100/tcp".
has_port() {
  awk -v port="$1" '{
      for (i = 1; i <= NF; i++) {
        if (!sub(/\/tcp$/, "", $i)) continue
        last = split($i, range, "-")
        if (port >= range[1] + 0 && port <= range[last] + 0) found = 1
      }
    }
    END { exit !found }'
}

# is_port_alone STATE ZONE PORT — firewalld makes one range of ports beside each other, whoever opened them: to take one
# out would be to cut a hole into the administrator's.
is_port_alone() {
  local ports
  if firewalld_active; then
    [ "$1" = --permanent ] || set -- "" "$2" "$3"
    ports=$(firewall-cmd ${1:+"$1"} --zone "$2" --list-ports)
  else
    ports=$(firewall-offline-cmd --zone "$2" --list-ports)
  fi 2>/dev/null || return 0 # who removes it will find out why
  case " $ports " in *" $3/tcp "*) ;; *) return 1 ;; esac
}

# Shell text that closes it: as the host boots, when firewalld does not run yet, in its files. It fails where the port may
# still be open. 112: there is no such zone
# any more; 127: nor such a firewall; 252: firewalld does not run.
close_firewalld_text() {
  local state close
  # shellcheck disable=SC2086  # words
  set -- $1
  state=$1
  close="--zone $2"
  shift 2
  close="$close '$(firewalld_option remove "$@")'"
  if [ "$state" = --running ]; then
    printf '%s' "[ \"\$how\" = boot ] || firewall-cmd --quiet $close || case \$? in 112 | 127 | 252) ;; *) false ;; esac"
  else
    printf '%s' "if [ \"\$how\" = boot ]; then firewall-offline-cmd --quiet $close; else firewall-cmd --quiet --permanent $close; fi || case \$? in 112 | 127) ;; 252) firewall-offline-cmd --quiet $close ;; *) false ;; esac"
  fi
}

# ufw looks at its rules one after the other, and has one only about the same: a second would take the first one's place, or
# not be taken. So all others are refused by two rules for each family, of which none is about the same as what somebody
# has for everyone.
others_in_ufw() {
  local port halves half
  while IFS= read -r port <&5; do
    # shellcheck disable=SC2086  # words
    parse $port
    case $FROM$TO in
      others) halves="0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1" ;;
      others*:*) halves="::/1 8000::/1" ;;
      others*) halves="0.0.0.0/1 128.0.0.0/1" ;;
      *)
        printf '%s\n' "$port"
        continue
        ;;
    esac
    for half in $halves; do printf '%s within %s\n' "$port" "$half"; done
  done 5<<EOF
$1
EOF
}

# Without IPv6 ufw refuses all of it, and takes no rule about it.
ufw_has_ipv6() { [ -e /proc/sys/net/ipv6 ] && grep -qi "^IPV6=[\"']\{0,1\}yes" /etc/default/ufw 2>/dev/null; }

# ufw_rule PORT… — as ufw(8) takes it. Its shorter form, "allow 8080/tcp", comes to the same.
ufw_rule() {
  local action
  parse "$@"
  action=allow
  if [ "$FROM" = others ]; then action=deny FROM=$WITHIN; fi
  printf '%s proto tcp from %s to %s port %s' "$action" "${FROM:-any}" "${TO:-any}" "$PORT"
}

# What it is about, as "ufw show added" has it behind the word for what is done.
ufw_match() {
  parse "$@"
  [ "$FROM" != others ] || FROM=$WITHIN
  if [ -z "$FROM$TO" ]; then printf '%s/tcp' "$PORT"; else printf '%sto %s port %s proto tcp' "${FROM:+from $FROM }" "${TO:-any}" "$PORT"; fi
}

# Asked once: ufw is a Python that starts, too.
UFW_RULES=
ufw_rules() {
  [ -n "$UFW_RULES" ] || UFW_RULES=$(ufw show added | sed "s/ comment '.*'\$//") || fail "cannot read the rules of ufw; see the lines before this one"
  printf '%s\n' "$UFW_RULES"
}

# Whether ufw has this very rule.
# shellcheck disable=SC2086  # words
is_in_ufw() {
  local rule
  rule=$(ufw_rule $1)
  ufw_rules | grep -qxF -e "ufw ${rule%% *} $(ufw_match $1)"
}

# By this rule or, a port of everyone's, by one for udp as well.
is_open_ufw() { is_in_ufw "$1" || ufw_rules | grep -qxF -e "ufw allow $1"; }

# conflict_in_ufw PORT… — somebody else's rule about the same, which ours would take the place of; or which would stay where
# it is, behind ours that refuses all others.
conflict_in_ufw() {
  local match how what
  # shellcheck disable=SC2086  # words
  match=$(ufw_match $1)
  ufw_rules | sed -nE 's/^ufw ((allow|deny|reject|limit)( log| log-all)?) (.*)$/\1|\4/p' |
    while IFS='|' read -r how what; do
      [ "$what" = "$match" ] || continue
      case "$how|$1" in
        *" from "*) ;;
        "allow|"*) continue ;; # it is open
      esac
      echo "$how $what"
      break
    done
}

# Where ufw's own rules are not there yet, as the host boots, it writes to its first file and fails, and to its second the
# second time.
close_ufw_text() {
  local rule
  # shellcheck disable=SC2086  # words
  rule=$(ufw_rule $1)
  # shellcheck disable=SC2016  # what comes of the rollback is in its own variable
  printf '! command -v ufw >/dev/null || ufw delete %s >/dev/null || { [ "$how" = boot ] && ufw delete %s >/dev/null; }' "$rule" "$rule"
}

kind firewalld "STATE ZONE PORT"
undo_firewalld() {
  local words state zone
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  words=$(in_zone_words "$1")
  # shellcheck disable=SC2086  # words
  set -- $1
  [ $# -gt 3 ] || is_port_alone "$@" || return 0
  state=$1
  zone=$2
  shift 2
  # 112: there is no such zone any more.
  firewalld "$state" "$zone" "$(firewalld_option remove "$@")" || [ $? = 112 ] || fail "firewall-cmd cannot take back that it ${words}"
  changed "took back: $words"
}

kind ufw PORT
undo_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  is_in_ufw "$1" || return 0
  # shellcheck disable=SC2046,SC2086  # words
  ufw delete $(ufw_rule $1) >/dev/null || fail "ufw cannot take back that it $(in_words "$1")"
  changed "took back: $(in_words "$1") in ufw"
}

# in_words PORT…
in_words() {
  case $1 in
    *" from others"*) printf 'keeps all others%s from port %s' "${1##* from others}" "${1%% from others*}" ;;
    *) printf 'opened port %s' "$1" ;;
  esac
}

# in_zone_words "STATE ZONE PORT…"
in_zone_words() {
  local port state
  port=${1#* }
  state=${1%% *}
  printf "%s in firewalld's zone %s (%s)" "$(in_words "${port#* }")" "${port%% *}" "${state#--}"
}

files_of() {
  case $1 in
    ufw) printf '%s\n' /etc/ufw/user.rules /etc/ufw/user6.rules ;;
    *) printf '%s\n' "/etc/firewalld/zones/${1#* }.xml" "/etc/firewalld/zones/${1#* }.xml.old" ;;
  esac
}

# A hash of what the firewall says its permanent settings are, without the first line, which says what a zone is now.
settings_of() {
  local settings
  if [ "$1" = ufw ]; then
    settings=$(ufw status verbose && ufw show added) || return 1
  elif [ -n "$PERMANENT_ZONES" ]; then # read already, by an apply
    settings=$(zone --permanent "${1#* }")
  elif firewalld_active; then
    settings=$(firewall-cmd --permanent --info-zone "${1#* }") || return 1
  else
    settings=$(firewall-offline-cmd --info-zone "${1#* }") || return 1
  fi
  printf '%s\n' "$settings" | sed 1d | sha256sum | cut -d' ' -f1
}

# Mode, content in one word, and time; or that there is none.
file_state() {
  if [ -f "$1" ]; then
    printf '%s %s %s' "$(stat -c %a -- "$1")" "$(base64 -w 0 <"$1")" "$(time_of "$1")"
  else
    printf absent
  fi
}

# What the administrator changed since stays as it is.
kind settings FIREWALL HASH FILE_STATE FILE_STATE
undo_settings() {
  local firewall states file
  firewall=${1%%"$TAB"*}
  states=${1#*"$TAB"}
  [ "$(settings_of "$firewall")" = "${states%%"$TAB"*}" ] || return 0
  for file in $(files_of "$firewall"); do
    states=${states#*"$TAB"}
    give_back "$file" "${states%%"$TAB"*}"
  done
}

# give_back FILE STATE
give_back() {
  local rest
  [ "$(file_state "$1")" != "$2" ] || return 0
  if [ "$2" = absent ]; then
    # firewalld itself forgets the file of a zone that it brings.
    case $1 in *.xml) ! firewalld_active || firewall-cmd --quiet --permanent --load-zone-defaults "$(basename "$1" .xml)" || : ;; esac
    rm -f -- "$1"
  else
    rest=${2#* }
    printf '%s' "${rest%% *}" | base64 -d | rewrite "$1" 600 "${rest#* }"
    chmod "${2%% *}" -- "$1"
  fi
  changed "gave $1 back as it was"
}
