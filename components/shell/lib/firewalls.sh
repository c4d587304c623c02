# shellcheck shell=sh
# The firewalls that a port can be opened in for others: those that are active, since what comes in must pass them all. An
# OPENING is a port as a firewall has it on record: "8080 to 192.0.2.1 from 203.0.113.0/24", of which "to" and "from" may be
# missing; for firewalld behind a state and a zone: "--permanent public 8080". The rule for "from others" refuses everybody whom
# no rule of ours lets in, whatever other rules say; so ours come before all others.
#
# firewalld.sh and ufw.sh have the same functions:
#   is_active_*
#   read_*                     what an apply has to know first
#   openings_* PORTS           prints the firewall's name and an OPENING for each rule that PORTS need
#   refuse_conflict_* OPENING  ends the script if a rule of somebody else's is in the way
#   is_open_* OPENING
#   open_* OPENING             at once, or when all are known
#   finish_*                   after the last open_*
#   close_text_* OPENING       prints what closes it in a rollback
#   words_* OPENING            prints what was done, for a message
#   settings_key_* OPENING     prints by which key its settings are on record, "ufw" or "firewalld ZONE", if it changes any
#   settings_* KEY             prints them: they are hashed
#   files_* KEY                prints the files that hold them
#   unload_* FILE              before that is removed
#   undo_* OPENING
# nftables.sh, for hosts with neither of them, opens nothing and needs only openings_*.

# choose_firewalls — sets FIREWALLS to those that are active; to nftables if none is.
choose_firewalls() {
  local firewall
  FIREWALLS=
  for firewall in firewalld ufw; do
    ! "is_active_$firewall" || FIREWALLS="$FIREWALLS $firewall"
  done
  FIREWALLS=${FIREWALLS:-nftables}
}

# parse PORT [to ADDRESS] [from NETWORK|others [within NETWORK]] — sets PORT, TO, FROM and WITHIN.
parse() {
  PORT=$1 TO='' FROM='' WITHIN=''
  while [ $# -gt 1 ]; do
    case $2 in to) TO=$3 ;; from) FROM=$3 ;; within) WITHIN=$3 ;; esac
    shift 2
  done
}

# in_words PORT…
in_words() {
  case $1 in
    *" from others"*) printf 'keeps all others%s from port %s' "${1##* from others}" "${1%% from others*}" ;;
    *) printf 'opened port %s' "$1" ;;
  esac
}

# keep_settings KEY — at each change, ufw and firewalld write their files anew: a zone that firewalld brings becomes a file,
# and what somebody wrote by hand loses its comments. So the files are on record as they were, for when the settings are
# again what they were.
keep_settings() {
  local states file
  case $NL$MARKED in *"${NL}settings$TAB$1$TAB"*) return 0 ;; esac
  states=$(hash_of_settings "$1") || fail "cannot read the settings of $1; see the lines before this one"
  for file in $("files_${1%% *}" "$1"); do states=$states$TAB$(file_state "$file"); done
  remember settings "$1" "$states"
}

# hash_of_settings KEY — without the first line, which says what a zone is now.
hash_of_settings() {
  local settings
  settings=$("settings_${1%% *}" "$1") || return 1
  printf '%s\n' "$settings" | sed 1d | sha256sum | cut -d' ' -f1
}

# file_state FILE — its mode, its content in one word, and its time; or that there is none.
file_state() {
  if [ -f "$1" ]; then
    printf '%s %s %s' "$(stat -c %a -- "$1")" "$(base64 -w 0 <"$1")" "$(time_of "$1")"
  else
    printf absent
  fi
}

# What the administrator has changed since then stays as it is.
kind settings KEY HASH FILE_STATE FILE_STATE
undo_settings() {
  local key states file
  key=${1%%"$TAB"*}
  states=${1#*"$TAB"}
  [ "$(hash_of_settings "$key")" = "${states%%"$TAB"*}" ] || return 0
  for file in $("files_${key%% *}" "$key"); do
    states=${states#*"$TAB"}
    give_back "${key%% *}" "$file" "${states%%"$TAB"*}"
  done
}

# give_back FIREWALL FILE STATE
give_back() {
  local rest
  [ "$(file_state "$2")" != "$3" ] || return 0
  if [ "$3" = absent ]; then
    "unload_$1" "$2"
    rm -f -- "$2"
  else
    rest=${3#* }
    printf '%s' "${rest%% *}" | base64 -d | rewrite "$2" 600 "${rest#* }"
    chmod "${3%% *}" -- "$2"
  fi
  changed "gave $2 back as it was"
}
