# shellcheck shell=sh
# needs: record files trial firewalls nftables
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  "8080", "8080 from 203.0.113.0/24", "8080 to 192.0.2.1" or "8080 to 192.0.2.1 from 203.0.113.0/24", one a line
apply() {
  if firewalld_active; then
    firewall=firewalld
    openings=$(in_zones)
  elif ufw_active; then
    firewall=ufw
    openings=$PORTS
  else
    say_nft_rules
    return 0
  fi
  refuse_strangers
  closed=$NL$(each_opening print_closed)$NL
  undo=$(each_opening undo_text)
  if [ -n "$undo" ]; then begin_trial "$undo"; fi
  each_opening "open_$firewall"
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

each_opening() {
  while IFS= read -r opening <&4; do "$1" "$opening"; done 4<<EOF
$openings
EOF
}

# "STATE ZONE PORT…" for each port: firewalld keeps two states, the running one and the permanent one.
in_zones() {
  read_zones
  printf '%s\n' "$PORTS" | while IFS= read -r iz_port; do
    # shellcheck disable=SC2086  # words
    parse $iz_port
    iz_zones=$(zones_of "$to")
    for iz_zone in $iz_zones; do
      printf '%s\n' "--permanent $iz_zone $iz_port" "--running $iz_zone $iz_port"
    done
  done
}

# Where everyone may come by somebody else's rule, one for some networks would keep nobody out.
refuse_strangers() {
  while IFS= read -r rs_all <&4; do
    [ -n "$rs_all" ] && "is_open_$firewall" "$rs_all" && ! ours "$firewall" "$rs_all" yes || continue
    rs_port=${rs_all%% to *}
    fail "everyone may reach port ${rs_port##* } by a rule of $firewall that is not ours, so that 'sources' would keep nobody out; remove that rule, or leave 'sources' out"
  done 4<<EOF
$(printf '%s\n' "$openings" | sed -n 's/ from .*//p' | sed 'p; s/ to .*//' | sort -u)
EOF
}

print_closed() { "is_open_$firewall" "$1" || printf '%s\n' "$1"; }

# "yes", or nothing where it is closed.
was_open() { case $closed in *"$NL$1$NL"*) ;; *) echo yes ;; esac }

# undo_text OPENING — what closes again what is to be opened, for the rollback; nothing where it is open. By then another
# tunnel may have it on its record.
undo_text() {
  [ -n "$(was_open "$1")" ] ||
    printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; }\n" \
      "$firewall$TAB$1" "$STATE" "$("close_${firewall}_text" "$1")"
}

open_firewalld() {
  of_open=$(was_open "$1")
  ours firewalld "$1" "$of_open" || return 0
  of_port=${1#* }
  case $1 in --permanent*) keep_settings "firewalld ${of_port%% *}" ;; esac
  own firewalld "$1"
  if [ -z "$of_open" ]; then
    firewalld add "$1" || fail "firewall-cmd cannot open port ${of_port#* } in the zone ${of_port%% *}"
    changed "opened port $(in_words "$1")"
  fi
}

undo_firewalld() {
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  # 112: there is no such zone any more.
  firewalld remove "$1" || [ $? = 112 ] || fail "firewall-cmd cannot close port $(in_words "$1")"
  changed "closed port $(in_words "$1")"
}

# in_words "STATE ZONE PORT…"
in_words() {
  iw_port=${1#* }
  iw_state=${1%% *}
  printf "%s in firewalld's zone %s (%s)" "${iw_port#* }" "${iw_port%% *}" "${iw_state#--}"
}

open_ufw() {
  ou_open=$(was_open "$1")
  ours ufw "$1" "$ou_open" || return 0
  keep_settings ufw
  own ufw "$1"
  if [ -z "$ou_open" ]; then
    # shellcheck disable=SC2046,SC2086  # words
    ufw allow $(ufw_rule $1) comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $1"
    changed "opened port $1 in ufw"
  fi
}

undo_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2046,SC2086  # words
  ufw delete allow $(ufw_rule $1) >/dev/null || fail "ufw cannot close port $1"
  changed "closed port $1 in ufw"
}

# keep_settings FIREWALL — "ufw" or "firewalld ZONE". At each change either writes its files anew: a zone that
# firewalld brings becomes a file, and what somebody wrote by hand loses its comments. So the files are on record as
# they were, for when the settings are again what they were.
keep_settings() {
  ks_states=$(settings_of "$1") || fail "cannot read the settings of $1; see the lines before this one"
  for ks_file in $(files_of "$1"); do ks_states=$ks_states$TAB$(file_state "$ks_file"); done
  remember settings "$1" "$ks_states"
}

files_of() {
  case $1 in
    ufw) printf '%s\n' /etc/ufw/user.rules /etc/ufw/user6.rules ;;
    *) printf '%s\n' "/etc/firewalld/zones/${1#* }.xml" "/etc/firewalld/zones/${1#* }.xml.old" ;;
  esac
}

# A hash of what the firewall says its permanent settings are, without the first line, which says what a zone is now.
settings_of() {
  if [ "$1" = ufw ]; then
    so_settings=$(ufw status verbose && ufw show added) || return 1
  elif firewalld_active; then
    so_settings=$(firewall-cmd --permanent --info-zone "${1#* }") || return 1
  else
    so_settings=$(firewall-offline-cmd --info-zone "${1#* }") || return 1
  fi
  printf '%s\n' "$so_settings" | sed 1d | sha256sum | cut -d' ' -f1
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
undo_settings() {
  us_firewall=${1%%"$TAB"*}
  us_states=${1#*"$TAB"}
  [ "$(settings_of "$us_firewall")" = "${us_states%%"$TAB"*}" ] || return 0
  for us_file in $(files_of "$us_firewall"); do
    us_states=${us_states#*"$TAB"}
    give_back "$us_file" "${us_states%%"$TAB"*}"
  done
}

# give_back FILE STATE
give_back() {
  [ "$(file_state "$1")" != "$2" ] || return 0
  if [ "$2" = absent ]; then
    # firewalld itself forgets the file of a zone that it brings.
    case $1 in *.xml) ! firewalld_active || firewall-cmd --quiet --permanent --load-zone-defaults "$(basename "$1" .xml)" || : ;; esac
    rm -f -- "$1"
  else
    gb_rest=${2#* }
    printf '%s' "${gb_rest%% *}" | base64 -d | put "$1" 600 0:0 "${gb_rest#* }"
    chmod "${2%% *}" -- "$1"
  fi
  changed "gave $1 back as it was"
}

main "$@"
