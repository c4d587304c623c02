# shellcheck shell=sh
# What there is of each thing on record, for the look for drift (look.sh): present_KIND VALUE, beside undo_KIND of the library.
# It sets STATE to fields with ", " between them, each a name and a value, or to "missing". It leaves STATE empty if the thing
# is none that somebody could change, or is in a firewall or in an SELinux that is off. It changes nothing, and fails with a
# sentence.

# reach PLACE — as locate; fails if its account or its home is gone.
reach() {
  local account
  ! is_gone "$1" || return 1
  case $1 in
    "~"*)
      account=${1#"~"}
      find_account "${account%%/*}"
      [ -d "$FOUND_HOME" ] || return 1
      ;;
  esac
  locate "$1"
}

# see PLACE TEXT — sets STATE to what this shell text prints, whose $1 is the path; whoever acts there runs it.
see() {
  reach "$1" || {
    STATE=missing
    return 0
  }
  case $AT_IDS in
    "$SELF":*) STATE=$(set -- "$AT_PATH" "$2" && eval "$2") ;;
    *) STATE=$(as "$AT_IDS" sh -c "$2" sh "$AT_PATH") || fail_no_answer "$1" "$?" ;;
  esac
  : "${STATE:=state unknown}"
}

# A hash is enough for any content, and of a private key it says nothing.
# shellcheck disable=SC2016
FILE_NOW='
  if [ -L "$1" ]; then
    printf "link %s" "$(readlink -- "$1")"
  elif [ ! -e "$1" ]; then
    printf missing
  elif [ ! -f "$1" ]; then
    stat -c "type %F" -- "$1"
  elif [ "$(stat -c %s -- "$1")" -gt 8388608 ]; then
    stat -c "mode %a, owner %U, content of %s bytes" -- "$1"
  else
    sum=$(sha256sum 2>/dev/null <"$1") || sum=unreadable
    stat -c "mode %a, owner %U, content ${sum%% *}" -- "$1"
  fi'

# A folder gets the bits above the last three from the one that it is in.
# shellcheck disable=SC2016
FOLDER_NOW='
  if [ -d "$1" ]; then
    stat -Lc "mode %a, owner %U" -- "$1" | sed "s/^mode [0-7]*\([0-7][0-7][0-7]\),/mode \1,/"
  elif [ -e "$1" ] || [ -L "$1" ]; then
    stat -c "type %F" -- "$1"
  else
    printf missing
  fi'

# shellcheck disable=SC2016
RIGHTS_NOW='if [ -e "$1" ]; then stat -Lc "mode %a, owner %U" -- "$1"; else printf missing; fi'

present_file() { see "$1" "$FILE_NOW"; }
present_drop_in() { see "$1" "$FILE_NOW"; }
present_pace() { see "$1" "$FILE_NOW"; }
present_dir() { see "$1" "$FOLDER_NOW"; }
present_home() { see "$1" "$FOLDER_NOW"; }

# What belongs to an account may get other rights from it, and sshd decides whether it still takes the file.
present_created() { case $1 in /*) see "$1" "$RIGHTS_NOW" ;; esac }

# see_lines PLACE — as fetch; without the file, STATE is "missing".
see_lines() {
  STATE=missing FETCHED=
  ! reach "$1" || fetch "$1"
  [ -n "$FETCHED" ]
}

present_line() {
  see_lines "${1%%"$TAB"*}" && [ -n "$(line_number "$FETCHED" "${1#*"$TAB"}")" ] || return 0
  STATE="line there"
}

# All lines that admit this key, or have our marker: apply leaves one.
present_key() {
  local marker sum
  see_lines "${1%%"$TAB"*}" || return 0
  marker=${1#*"$TAB"}
  sum=$(key_lines "$FETCHED" "${1##*"$TAB"}" "${marker%"$TAB"*}" | awk 'NR == FNR { ours[$0]; next } FNR in ours' - "$FETCHED" | sha256sum)
  # of no line
  case $sum in e3b0c44298fc1c149afbf4c8996fb924*) ;; *) STATE="content ${sum%% *}" ;; esac
}

present_user() {
  local entry name password uid gid comment home shell
  STATE=missing
  entry=$(getent passwd "$1") || return 0
  IFS=: read -r name password uid gid comment home shell <<EOT
$entry
EOT
  : "$name$password$uid$gid$comment"
  STATE="group $(id -gn -- "$1" 2>/dev/null), home $home, shell $shell"
  entry=$(getent shadow "$1") || return 0
  entry=${entry#*:}
  case ${entry%%:*} in
    '*') password=none ;;
    '!'*) password=locked ;;
    *) password="set" ;;
  esac
  # last change, shortest and longest time, warning, idle time, end
  entry=${entry#*:*:*:*:*:*:}
  STATE="$STATE, password $password, end ${entry%%:*}"
}

present_group() {
  STATE=missing
  ! getent group "$1" >/dev/null || STATE="group there"
}

present_mask() {
  STATE=missing
  [ "$(readlink -- "/etc/systemd/system/$1")" != /dev/null ] || STATE="unit masked"
}

# A service that waits for its next attempt is no drift; nor is what happens between two states, so it is looked at again.
present_unit() {
  see_unit "$1"
  case $STATE in *"ActiveState active" | missing | "UnitFileState static") return 0 ;; esac
  sleep 1
  see_unit "$1"
}

see_unit() {
  local now file active
  now=$(systemctl show --property UnitFileState --property ActiveState "$1" 2>/dev/null) || fail "systemd does not say how $1 is"
  file=$NL$now$NL
  active=${file#*"${NL}ActiveState="}
  file=${file#*"${NL}UnitFileState="}
  active=${active%%"$NL"*} file=${file%%"$NL"*}
  case $active in activating | reloading | deactivating) active=active ;; esac
  case $file in
    "") STATE=missing ;;
    # Its timer starts it.
    static) STATE="UnitFileState static" ;;
    *) STATE="UnitFileState $file, ActiveState $active" ;;
  esac
}

# forget_states — what was read once, and may have changed since.
forget_states() {
  ZONES_ARE_READ='' UFW_NOW=unread OWN_ENTRIES=unread FIREWALLD=
  forget_looks
}

# Both its states are asked for at once. One that does not run has nothing open.
present_firewalld() {
  is_active_firewalld || return 0
  [ -n "$ZONES_ARE_READ" ] || read_firewalld
  ZONES_ARE_READ=yes
  if is_open_firewalld "$1"; then STATE="port open"; else STATE=missing; fi
}

present_ufw() {
  local rule
  [ "$UFW_NOW" != unread ] || { is_active_ufw && UFW_NOW=$(ufw_rules); } || UFW_NOW=
  [ -n "$UFW_NOW" ] || return 0
  STATE=missing
  # shellcheck disable=SC2086  # words
  rule=$(ufw_rule $1)
  # shellcheck disable=SC2086  # words
  ! printf '%s\n' "$UFW_NOW" | grep -qxF -e "ufw ${rule%% *} $(ufw_match $1)" -e "ufw allow $1" || STATE="rule there"
}

present_seport() {
  selinux_is_enabled && command -v semanage >/dev/null 2>&1 || return 0
  read_own_entries
  STATE=missing
  [ "$(entry_of "${1% *}" "$OWN_ENTRIES")" != "ssh_port_t ${1% *}" ] || STATE="type ssh_port_t"
}

present_secontext() {
  selinux_is_enabled && command -v semanage >/dev/null 2>&1 || return 0
  STATE=missing
  case $(own_rule "$1") in *:bin_t | *:bin_t:*) STATE="type bin_t" ;; esac
}

# The line of its key shows it: present_key.
present_permit() { :; }
# The file that it is in shows it: present_file.
present_identity() { :; }
# Promises, what was there before us, and notes of a run: nothing that is there.
present_port() { :; }
present_auto() { :; }
present_settings() { :; }
present_newline() { :; }
present_time() { :; }
present_restart() { :; }
present_findings() { :; }
present_stale() { :; }
