# shellcheck shell=sh
# firewalld: see firewalls.sh. Where it does not run, its files are changed.

# Asked once: firewall-cmd starts a Python, which takes half a second.
FIREWALLD=
is_active_firewalld() {
  [ -n "$FIREWALLD" ] || FIREWALLD=$(command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --state 2>/dev/null || echo not running)
  [ "$FIREWALLD" = running ]
}

# All zones, in both states.
RUNNING_ZONES='' PERMANENT_ZONES='' DEFAULT_ZONE=''
read_firewalld() {
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

# tell_firewalld STATE ZONE OPTION… — where firewalld does not run, changes its files. Of several options, it reports those that
# fail only by its messages, not by its status.
tell_firewalld() {
  local state zone said status
  PERMANENT_ZONES= # is no longer so
  state=$1
  zone=$2
  shift 2
  if ! is_active_firewalld; then
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

# For its running and its permanent state, in each zone.
openings_firewalld() {
  local port zone
  printf '%s\n' "$1" | while IFS= read -r port; do
    # shellcheck disable=SC2086  # words
    parse $port
    for zone in $(zones_of "$TO"); do
      [ -n "$FROM" ] || [ "$(target_of "$zone")" != accepted ] || continue # it is open
      printf 'firewalld %s\n' "--permanent $zone $port" "--running $zone $port"
    done
  done
}

# A rich rule takes no other rule's place.
refuse_conflict_firewalld() { :; }

# By the same rule, or one for more ports.
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

# Notes it down in NOTED, and the words for it in SAID_LATER.
NOTED=
SAID_LATER=
open_firewalld() {
  local target
  SAID_LATER="$SAID_LATER$(words_firewalld "$1")$NL"
  # shellcheck disable=SC2086  # words
  set -- $1
  target="$1 $2"
  shift 2
  NOTED="$NOTED$target$TAB$(firewalld_option add "$@")$NL"
}

# Opens what is noted down: one firewall-cmd for each state, zone, and kind of option, of which it takes one kind at a time.
finish_firewalld() {
  local target kind options words
  while IFS=$TAB read -r target kind <&4; do
    [ -n "$target" ] || continue
    options=$(printf '%s' "$NOTED" | sed -n "s|^$target$TAB\($kind=\)|\1|p")
    IFS=$NL
    # shellcheck disable=SC2086  # lines
    set -- $options
    unset IFS
    tell_firewalld "${target% *}" "${target#* }" "$@" || fail "firewall-cmd cannot open a port in the zone ${target#* }"
  done 4<<EOF
$(printf '%s' "$NOTED" | sed 's/=.*//' | sort -u)
EOF
  while IFS= read -r words <&4; do
    [ -z "$words" ] || changed "$words"
  done 4<<EOF
$SAID_LATER
EOF
  NOTED='' SAID_LATER=''
}

# As the host boots, firewalld does not run yet, so its files are changed. The text fails if the port may still be open. 112: the
# zone is gone; 127: firewalld is gone; 252: it does not run.
close_text_firewalld() {
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

words_firewalld() {
  local port state
  port=${1#* }
  state=${1%% *}
  printf "%s in firewalld's zone %s (%s)" "$(in_words "${port#* }")" "${port%% *}" "${state#--}"
}

# Only the permanent state is in files.
settings_key_firewalld() {
  case $1 in
    --permanent*)
      # shellcheck disable=SC2086  # words
      set -- $1
      printf 'firewalld %s' "$2"
      ;;
  esac
}

settings_firewalld() {
  if [ -n "$PERMANENT_ZONES" ]; then # read already, by an apply
    zone --permanent "${1#* }"
  elif is_active_firewalld; then
    firewall-cmd --permanent --info-zone "${1#* }"
  else
    firewall-offline-cmd --info-zone "${1#* }"
  fi
}

files_firewalld() { printf '%s\n' "/etc/firewalld/zones/${1#* }.xml" "/etc/firewalld/zones/${1#* }.xml.old"; }

# firewalld itself forgets the file of a zone that it brings.
unload_firewalld() {
  case $1 in *.xml) ! is_active_firewalld || firewall-cmd --quiet --permanent --load-zone-defaults "$(basename "$1" .xml)" || : ;; esac
}

# is_port_alone STATE ZONE PORT — firewalld makes one range of ports beside each other, whoever opened them: to take one
# out could cut a hole into the administrator's.
is_port_alone() {
  local ports
  if is_active_firewalld; then
    [ "$1" = --permanent ] || set -- "" "$2" "$3"
    ports=$(firewall-cmd ${1:+"$1"} --zone "$2" --list-ports)
  else
    ports=$(firewall-offline-cmd --zone "$2" --list-ports)
  fi 2>/dev/null || return 0 # who removes it will find out why
  case " $ports " in *" $3/tcp "*) ;; *) return 1 ;; esac
}

kind firewalld "STATE ZONE PORT"
undo_firewalld() {
  local words state zone
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  words=$(words_firewalld "$1")
  # shellcheck disable=SC2086  # words
  set -- $1
  [ $# -gt 3 ] || is_port_alone "$@" || return 0
  state=$1
  zone=$2
  shift 2
  # 112: there is no such zone any more.
  tell_firewalld "$state" "$zone" "$(firewalld_option remove "$@")" || [ $? = 112 ] || fail "firewall-cmd cannot take back that it ${words}"
  changed "took back: $words"
}
