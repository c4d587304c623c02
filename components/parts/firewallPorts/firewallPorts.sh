# shellcheck shell=sh
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  "8080", "8080 from 203.0.113.0/24", "8080 to 192.0.2.1" or "8080 to 192.0.2.1 from 203.0.113.0/24", one a line;
#          "8080 from others" before the networks of a port, for all others
apply() {
  if firewalld_active; then read_zones; else keep_recorded firewalld; fi
  ufw_active || keep_recorded ufw
  openings=$(all_openings)
  if ! firewalld_active && ! ufw_active; then
    say_nft_rules
    return 0
  fi
  refuse_conflicts
  closed=$NL$(each_opening print_closed)$NL
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
  while IFS= read -r kr_entry <&4; do
    [ -z "$kr_entry" ] || own "${kr_entry%%"$TAB"*}" "${kr_entry#*"$TAB"}"
  done 4<<EOF
$(printf '%s' "$RECORDED" | grep -e "^$1$TAB" -e "^settings$TAB$1")
EOF
}

# "firewalld STATE ZONE PORT…", for its running and its permanent state, and "ufw PORT…": where both are active, what
# comes in must pass both.
all_openings() {
  if firewalld_active; then
    printf '%s\n' "$PORTS" | while IFS= read -r ao_port; do
      # shellcheck disable=SC2086  # words
      parse $ao_port
      for ao_zone in $(zones_of "$to"); do
        [ -n "$from" ] || [ "$(target_of "$ao_zone")" != accepted ] || continue # it is open
        printf 'firewalld %s\n' "--permanent $ao_zone $ao_port" "--running $ao_zone $ao_port"
      done
    done
  fi
  ! ufw_active || others_in_ufw "$PORTS" | if ufw_has_ipv6; then cat; else grep -v :; fi | sed 's/^/ufw /'
}

# each_opening FUNCTION — with the firewall, and what is to be opened in it.
each_opening() {
  while read -r firewall opening <&4; do [ -z "$firewall" ] || "$1" "$firewall" "$opening"; done 4<<EOF
$openings
EOF
}

# A rule of the administrator's would be gone, or of no use.
refuse_conflicts() {
  while read -r firewall rl_opening <&4; do
    [ "$firewall" = ufw ] && ! recorded ufw "$rl_opening" && ! recorded_elsewhere ufw "$rl_opening" || continue
    rl_conflict=$(conflict_in_ufw "$rl_opening")
    [ -z "$rl_conflict" ] ||
      fail "ufw has the rule '$rl_conflict' already, which ours would replace; remove it, 'ufw delete $rl_conflict', or choose another port"
  done 4<<EOF
$openings
EOF
}

print_closed() { "is_open_$1" "$2" || printf '%s %s\n' "$1" "$2"; }

# was_open FIREWALL OPENING — "yes", or nothing where it is closed.
was_open() { case $closed in *"$NL$1 $2$NL"*) ;; *) echo yes ;; esac }

# undo_text FIREWALL OPENING — what closes again what is to be opened, for the rollback; nothing where it is open. By
# then another tunnel may have it on its record.
undo_text() {
  [ -n "$(was_open "$1" "$2")" ] ||
    printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; } || not_done 'the firewall does not close the port'\n" \
      "$1$TAB$2" "$STATE" "$("close_${1}_text" "$2")"
}

# open_it FIREWALL OPENING — records it, and opens it; or for firewalld notes it down.
open_it() {
  oi_open=$(was_open "$1" "$2")
  ours "$1" "$2" "$oi_open" || return 0
  case "$1 $2" in
    ufw*) keep_settings ufw ;;
    firewalld\ --permanent*)
      oi_zone=${2#* }
      keep_settings "firewalld ${oi_zone%% *}"
      ;;
  esac
  own "$1" "$2"
  if [ -n "$oi_open" ]; then
    return 0
  elif [ "$1" = firewalld ]; then
    # shellcheck disable=SC2086  # words
    note_down $2
    said_later="$said_later$(in_zone_words "$2")$NL"
  else
    open_ufw "$2"
    changed "$(in_words "$2") in ufw"
  fi
}

kept_from_others=
open_ufw() {
  case $1 in
    *" from others "*)
      ou_verb=prepend
      kept_from_others="$kept_from_others${1%% from *}$NL"
      ;;
    *" from "*) ou_verb=prepend ;;
    *) ou_verb= ;;
  esac
  # shellcheck disable=SC2046,SC2086  # words
  ufw $ou_verb $(ufw_rule $1) comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $1"
}

# Where others are kept out from now on, the rules that were there already for some, ours and those of other tunnels, are
# behind that: they are put before it again.
put_sources_first() {
  [ -n "$kept_from_others" ] || return 0
  printf '%s%s' "$RECORDED" "$OTHERS" | sed -n "s/^ufw$TAB//p" | grep ' from ' | grep -v ' from others' | sort -u | while IFS= read -r ps_opening; do
    case $NL$kept_from_others in *"$NL${ps_opening%% from *}$NL"*) ;; *) continue ;; esac
    is_open_ufw "$ps_opening" || continue
    # shellcheck disable=SC2046,SC2086  # words
    { ufw delete $(ufw_rule $ps_opening) && ufw prepend $(ufw_rule $ps_opening) comment ssh-reverse-tunnel; } >/dev/null </dev/null || fail "ufw cannot put the rule for port $ps_opening first"
  done || exit "$?"
}

noted=
said_later=

# note_down STATE ZONE PORT…
note_down() {
  nd_group="$1 $2"
  shift 2
  noted="$noted$nd_group$TAB$(firewalld_option add "$@")$NL"
}

# What is noted down: one firewall-cmd for each state, zone, and kind of option, of which it takes one kind at a time.
open_firewalld() {
  while IFS=$TAB read -r of_group of_kind <&4; do
    [ -n "$of_group" ] || continue
    of_options=$(printf '%s' "$noted" | sed -n "s|^$of_group$TAB\($of_kind=\)|\1|p")
    IFS=$NL
    # shellcheck disable=SC2086  # lines
    set -- $of_options
    unset IFS
    firewalld "${of_group% *}" "${of_group#* }" "$@" || fail "firewall-cmd cannot open a port in the zone ${of_group#* }"
  done 4<<EOF
$(printf '%s' "$noted" | sed 's/=.*//' | sort -u)
EOF
  while IFS= read -r of_words <&4; do
    [ -z "$of_words" ] || changed "$of_words"
  done 4<<EOF
$said_later
EOF
}

# keep_settings FIREWALL — "ufw" or "firewalld ZONE". At each change either writes its files anew: a zone that
# firewalld brings becomes a file, and what somebody wrote by hand loses its comments. So the files are on record as
# they were, for when the settings are again what they were.
keep_settings() {
  case $NL$MARKED in *"${NL}settings$TAB$1$TAB"*) return 0 ;; esac
  ks_states=$(settings_of "$1") || fail "cannot read the settings of $1; see the lines before this one"
  for ks_file in $(files_of "$1"); do ks_states=$ks_states$TAB$(file_state "$ks_file"); done
  remember settings "$1" "$ks_states"
}
