# shellcheck shell=sh
# needs: record files trial
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  numbers, one a line
apply() {
  if firewalld_active; then
    firewall=firewalld
    zone=$(firewall-cmd --get-default-zone)
  elif ufw_active; then
    firewall=ufw
  else
    say "note: $HOST: neither firewalld nor ufw is active here; no port needs opening"
    return 0
  fi
  undo=$(undo_text)
  if [ -n "$undo" ]; then begin_trial "$undo"; fi
  for port in $PORTS; do
    if [ "$firewall" = ufw ]; then open_ufw "$port"; else open_firewalld "$zone" "$port"; fi
  done
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

# What closes again what is to be opened, for the rollback; nothing where all is open.
undo_text() {
  for ut_port in $PORTS; do
    if [ "$firewall" = ufw ]; then
      ufw_allows "$ut_port" || close_unless_needed "ufw$TAB$ut_port" "ufw delete allow $ut_port/tcp >/dev/null"
      continue
    fi
    ut_close="--zone $zone --remove-port $ut_port/tcp"
    firewall-cmd --quiet --zone "$zone" --query-port "$ut_port/tcp" ||
      close_unless_needed "firewalld$TAB--running $zone $ut_port" "[ \"\$how\" = boot ] || firewall-cmd --quiet $ut_close"
    firewall-cmd --quiet --permanent --zone "$zone" --query-port "$ut_port/tcp" ||
      close_unless_needed "firewalld$TAB--permanent $zone $ut_port" \
        "if [ \"\$how\" = boot ]; then firewall-offline-cmd $ut_close; else firewall-cmd --quiet --permanent $ut_close; fi"
  done
}

# close_unless_needed ENTRY COMMAND — another tunnel may have the port on its record by then.
close_unless_needed() {
  printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; }\n" "$1" "$STATE" "$2"
}

firewalld_active() { command -v firewall-cmd >/dev/null 2>&1 && firewall-cmd --quiet --state 2>/dev/null; }

ufw_active() { command -v ufw >/dev/null 2>&1 && ufw status 2>/dev/null | grep -q '^Status: active'; }

# firewalld keeps two states, the running one and the permanent one: each is asked and set.
open_firewalld() {
  for of_state in --permanent --running; do
    of_option=${of_state#--running}
    of_entry="$of_state $1 $2"
    # shellcheck disable=SC2086  # empty means the running state
    of_open=$(! firewall-cmd --quiet $of_option --zone "$1" --query-port "$2/tcp" || echo yes)
    ours firewalld "$of_entry" "$of_open" || continue
    [ "$of_state" = --running ] || keep_settings "firewalld $1"
    own firewalld "$of_entry"
    if [ -z "$of_open" ]; then
      # shellcheck disable=SC2086
      firewall-cmd --quiet $of_option --zone "$1" --add-port "$2/tcp" || fail "firewall-cmd cannot open port $2 in the zone $1"
      changed "opened port $2 in firewalld's zone $1 (${of_state#--})"
    fi
  done
}

undo_firewalld() {
  command -v firewall-cmd >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2086  # three words: state, zone, port
  set -- $1
  uf_state=$1
  uf_zone=$2
  uf_port=$3
  if firewalld_active; then
    # shellcheck disable=SC2086  # empty means the running state
    set -- firewall-cmd --quiet ${uf_state#--running}
  elif [ "$uf_state" = --running ]; then
    return 0
  else
    set -- firewall-offline-cmd --quiet
  fi
  # 112: there is no such zone any more.
  "$@" --zone "$uf_zone" --remove-port "$uf_port/tcp" || [ $? = 112 ] || fail "$1 cannot close port $uf_port in the zone $uf_zone"
  changed "closed port $uf_port in firewalld's zone $uf_zone (${uf_state#--})"
}

ufw_allows() { ufw show added | grep -qxE "ufw allow $1(/tcp)?( comment .*)?"; }

open_ufw() {
  ou_open=$(! ufw_allows "$1" || echo yes)
  ours ufw "$1" "$ou_open" || return 0
  keep_settings ufw
  own ufw "$1"
  if [ -z "$ou_open" ]; then
    ufw allow "$1/tcp" comment ssh-reverse-tunnel >/dev/null || fail "ufw cannot open port $1"
    changed "opened port $1 in ufw"
  fi
}

undo_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  ufw delete allow "$1/tcp" >/dev/null || fail "ufw cannot close port $1"
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
