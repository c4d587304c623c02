# shellcheck shell=sh
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  "8080", "8080 from 203.0.113.0/24", "8080 to 192.0.2.1" or "8080 to 192.0.2.1 from 203.0.113.0/24", one a line;
#          "8080 from others" before the networks of a port, for all others
apply() {
  local undo
  if firewalld_active; then read_zones; else keep_recorded firewalld; fi
  ufw_active || keep_recorded ufw
  OPENINGS=$(all_openings)
  if ! firewalld_active && ! ufw_active; then
    say_nft_rules "$PORTS"
    return 0
  fi
  refuse_conflicts
  CLOSED=$NL$(each_opening print_closed)$NL
  undo=$(each_opening undo_text)
  if [ -n "$undo" ]; then begin_trial "$undo"; fi
  each_opening open_it
  open_firewalld
  put_sources_first
  if [ -n "$undo" ]; then
    SWEEP=no
    activated
    confirm_later "the change to the firewall"
  elif [ "$CONFIRM" = yes ]; then
    confirm_trial "the change to the firewall"
  elif on_trial; then
    SWEEP=no
  fi
}

# What was opened in a firewall that does not run now is on record for when it does again.
keep_recorded() {
  local entry
  while IFS= read -r entry <&4; do
    [ -z "$entry" ] || own "${entry%%"$TAB"*}" "${entry#*"$TAB"}"
  done 4<<EOF
$(printf '%s' "$RECORDED" | grep -e "^$1$TAB" -e "^settings$TAB$1")
EOF
}

# "firewalld STATE ZONE PORT…", for its running and its permanent state, and "ufw PORT…": where both are active, what
# comes in must pass both.
all_openings() {
  local port zone
  if firewalld_active; then
    printf '%s\n' "$PORTS" | while IFS= read -r port; do
      # shellcheck disable=SC2086  # words
      parse $port
      for zone in $(zones_of "$TO"); do
        [ -n "$FROM" ] || [ "$(target_of "$zone")" != accepted ] || continue # it is open
        printf 'firewalld %s\n' "--permanent $zone $port" "--running $zone $port"
      done
    done
  fi
  ! ufw_active || others_in_ufw "$PORTS" | if ufw_has_ipv6; then cat; else grep -v :; fi | sed 's/^/ufw /'
}

# each_opening FUNCTION — with the firewall, and what is to be opened in it.
each_opening() {
  local firewall opening
  while read -r firewall opening <&4; do [ -z "$firewall" ] || "$1" "$firewall" "$opening"; done 4<<EOF
$OPENINGS
EOF
}

# A rule of the administrator's would be gone, or of no use.
refuse_conflicts() {
  local opening conflict firewall
  while read -r firewall opening <&4; do
    [ "$firewall" = ufw ] && ! recorded ufw "$opening" && ! recorded_elsewhere ufw "$opening" || continue
    conflict=$(conflict_in_ufw "$opening")
    [ -z "$conflict" ] ||
      fail "ufw has the rule '$conflict' already, which ours would replace; remove it, 'ufw delete $conflict', or choose another port"
  done 4<<EOF
$OPENINGS
EOF
}

print_closed() { "is_open_$1" "$2" || printf '%s %s\n' "$1" "$2"; }

# was_open FIREWALL OPENING — "yes", or nothing where it is closed.
was_open() { case $CLOSED in *"$NL$1 $2$NL"*) ;; *) echo yes ;; esac }

# undo_text FIREWALL OPENING — what closes again what is to be opened, for the rollback; nothing where it is open. By
# then another tunnel may have it on its record.
undo_text() {
  [ -n "$(was_open "$1" "$2")" ] ||
    printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; } || not_done 'the firewall does not close the port'\n" \
      "$1$TAB$2" "$STATE" "$("close_${1}_text" "$2")"
}

# open_it FIREWALL OPENING — records it, and opens it; or for firewalld notes it down.
open_it() {
  local open zone
  open=$(was_open "$1" "$2")
  ours "$1" "$2" "$open" || return 0
  case "$1 $2" in
    ufw*) keep_settings ufw ;;
    firewalld\ --permanent*)
      zone=${2#* }
      keep_settings "firewalld ${zone%% *}"
      ;;
  esac
  own "$1" "$2"
  if [ -n "$open" ]; then
    return 0
  elif [ "$1" = firewalld ]; then
    # shellcheck disable=SC2086  # words
    note_down $2
    SAID_LATER="$SAID_LATER$(in_zone_words "$2")$NL"
  else
    open_ufw "$2"
    changed "$(in_words "$2") in ufw"
  fi
}

KEPT_FROM_OTHERS=
open_ufw() {
  local verb
  case $1 in
    *" from others "*)
      verb=prepend
      KEPT_FROM_OTHERS="$KEPT_FROM_OTHERS${1%% from *}$NL"
      ;;
    *" from "*) verb=prepend ;;
    *) verb= ;;
  esac
  # shellcheck disable=SC2046,SC2086  # words
  ufw $verb $(ufw_rule $1) comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $1"
}

# Where others are kept out from now on, the rules that were there already for some, ours and those of other tunnels, are
# behind that: they are put before it again.
put_sources_first() {
  local opening
  [ -n "$KEPT_FROM_OTHERS" ] || return 0
  printf '%s%s' "$RECORDED" "$OTHERS" | sed -n "s/^ufw$TAB//p" | grep ' from ' | grep -v ' from others' | sort -u | while IFS= read -r opening; do
    case $NL$KEPT_FROM_OTHERS in *"$NL${opening%% from *}$NL"*) ;; *) continue ;; esac
    is_open_ufw "$opening" || continue
    # shellcheck disable=SC2046,SC2086  # words
    { ufw delete $(ufw_rule $opening) && ufw prepend $(ufw_rule $opening) comment ssh-reverse-tunnel; } >/dev/null </dev/null || fail "ufw cannot put the rule for port $opening first"
  done || exit "$?"
}

NOTED=
SAID_LATER=

# note_down STATE ZONE PORT…
note_down() {
  local target
  target="$1 $2"
  shift 2
  NOTED="$NOTED$target$TAB$(firewalld_option add "$@")$NL"
}

# What is noted down: one firewall-cmd for each state, zone, and kind of option, of which it takes one kind at a time.
open_firewalld() {
  local target kind options words
  while IFS=$TAB read -r target kind <&4; do
    [ -n "$target" ] || continue
    options=$(printf '%s' "$NOTED" | sed -n "s|^$target$TAB\($kind=\)|\1|p")
    IFS=$NL
    # shellcheck disable=SC2086  # lines
    set -- $options
    unset IFS
    firewalld "${target% *}" "${target#* }" "$@" || fail "firewall-cmd cannot open a port in the zone ${target#* }"
  done 4<<EOF
$(printf '%s' "$NOTED" | sed 's/=.*//' | sort -u)
EOF
  while IFS= read -r words <&4; do
    [ -z "$words" ] || changed "$words"
  done 4<<EOF
$SAID_LATER
EOF
}

# keep_settings FIREWALL — "ufw" or "firewalld ZONE". At each change either writes its files anew: a zone that
# firewalld brings becomes a file, and what somebody wrote by hand loses its comments. So the files are on record as
# they were, for when the settings are again what they were.
keep_settings() {
  local states file
  case $NL$MARKED in *"${NL}settings$TAB$1$TAB"*) return 0 ;; esac
  states=$(settings_of "$1") || fail "cannot read the settings of $1; see the lines before this one"
  for file in $(files_of "$1"); do states=$states$TAB$(file_state "$file"); done
  remember settings "$1" "$states"
}
