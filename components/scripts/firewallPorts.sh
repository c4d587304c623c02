# shellcheck shell=sh
# needs: record files trial firewalls nftables
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  "8080", "8080 from 203.0.113.0/24", "8080 to 192.0.2.1" or "8080 to 192.0.2.1 from 203.0.113.0/24", one a line
apply() {
  ! firewalld_active || read_zones
  openings=$(all_openings)
  if [ -z "$openings" ]; then
    say_nft_rules
    return 0
  fi
  refuse_strangers
  closed=$NL$(each_opening print_closed)$NL
  undo=$(each_opening undo_text)
  if [ -n "$undo" ]; then begin_trial "$undo"; fi
  each_opening open_it
  open_firewalld
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

# "firewalld STATE ZONE PORT…", for its running and its permanent state, and "ufw PORT…": where both are active, what
# comes in must pass both.
all_openings() {
  if firewalld_active; then
    printf '%s\n' "$PORTS" | while IFS= read -r ao_port; do
      # shellcheck disable=SC2086  # words
      parse $ao_port
      for ao_zone in $(zones_of "$to"); do
        printf 'firewalld %s\n' "--permanent $ao_zone $ao_port" "--running $ao_zone $ao_port"
      done
    done
  fi
  ! ufw_active || printf '%s\n' "$PORTS" | sed 's/^/ufw /'
}

# each_opening FUNCTION — with the firewall, and what is to be opened in it.
each_opening() {
  while read -r firewall opening <&4; do "$1" "$firewall" "$opening"; done 4<<EOF
$openings
EOF
}

# Where everyone may come by what somebody else has set, 'sources' would keep nobody out.
refuse_strangers() {
  rs_openings=$(printf '%s\n' "$openings" | sed -n 's/ from .*//p' | sort -u)
  # shellcheck disable=SC2046  # words
  read_services $(printf '%s\n' "$rs_openings" | sed -n 's/^firewalld [^ ]* \([^ ]*\) .*/\1/p' | sort -u)
  while read -r firewall rs_all <&4; do
    [ -n "$rs_all" ] || continue
    rs_everywhere=${rs_all%% to *}
    rs_stranger=$("stranger_of_$firewall" "$rs_everywhere")
    for rs_rule in "$rs_all" "$rs_everywhere"; do
      ! "is_open_$firewall" "$rs_rule" || ours "$firewall" "$rs_rule" yes || rs_stranger="a rule of $firewall that is not ours"
    done
    [ -z "$rs_stranger" ] ||
      fail "everyone may reach port ${rs_everywhere##* } by $rs_stranger, so that 'sources' would keep nobody out; take that away, or leave 'sources' out"
  done 4<<EOF
$rs_openings
EOF
}

print_closed() { "is_open_$1" "$2" || printf '%s %s\n' "$1" "$2"; }

# was_open FIREWALL OPENING — "yes", or nothing where it is closed.
was_open() { case $closed in *"$NL$1 $2$NL"*) ;; *) echo yes ;; esac }

# undo_text FIREWALL OPENING — what closes again what is to be opened, for the rollback; nothing where it is open. By
# then another tunnel may have it on its record.
undo_text() {
  [ -n "$(was_open "$1" "$2")" ] ||
    printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; }\n" \
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
    said_later="$said_later$(in_words "$2")$NL"
  else
    # shellcheck disable=SC2046,SC2086  # words
    ufw allow $(ufw_rule $2) comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $2"
    changed "opened port $2 in ufw"
  fi
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
    [ -z "$of_words" ] || changed "opened port $of_words"
  done 4<<EOF
$said_later
EOF
}

undo_firewalld() {
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  uf_words=$(in_words "$1")
  # shellcheck disable=SC2086  # words
  set -- $1
  uf_state=$1
  uf_zone=$2
  shift 2
  # 112: there is no such zone any more.
  firewalld "$uf_state" "$uf_zone" "$(firewalld_option remove "$@")" || [ $? = 112 ] || fail "firewall-cmd cannot close port $uf_words"
  changed "closed port $uf_words"
}

# in_words "STATE ZONE PORT…"
in_words() {
  iw_port=${1#* }
  iw_state=${1%% *}
  printf "%s in firewalld's zone %s (%s)" "${iw_port#* }" "${iw_port%% *}" "${iw_state#--}"
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
  case $NL$MARKED in *"${NL}settings$TAB$1$TAB"*) return 0 ;; esac
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
  elif [ -n "$zo_permanent" ]; then # read already, by an apply
    so_settings=$(zone --permanent "${1#* }")
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
