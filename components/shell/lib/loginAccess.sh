# shellcheck shell=sh
# Whether sshd lets an account log in from this host itself, where connections through a tunnel come from: what its
# configuration says of exactly these logins.

# addresses_of HOST — those of a name, as this host resolves it, one a line.
addresses_of() {
  case $1 in
    *:*) printf '%s\n' "${1#::ffff:}" ;;
    *[!0-9.]*) getent ahosts "$1" | awk '{ sub(/%.*/, "", $1); print $1 }' | sort -u ;;
    *) printf '%s\n' "$1" ;;
  esac
}

# is_own ADDRESS — whether a connection to it stays on this host. The kernel says so; without ip(8), or with one that cannot
# ask it, nobody knows.
is_own() {
  case $1 in 127.* | ::1 | 0.0.0.0 | ::) return 0 ;; esac
  is_local "$1" || ! is_local 127.0.0.1
}

is_local() { case $(ip route get "$1" 2>/dev/null) in "local "*) ;; *) return 1 ;; esac }

# refusal_of_login ACCOUNT ADDRESS PORT KEY_TYPE — prints why the sshd that listens there would refuse it, in a sentence;
# nothing if it would not. Another server than the host's sshd is left to the login itself.
refusal_of_login() {
  local from why
  find_account "$1"
  find_main
  if is_other_server "$2" "$3"; then return 0; fi
  from=$2
  case $from in # whichever address of the loopback it goes to
    127.* | 0.0.0.0) from=127.0.0.1 ;;
    ::) from=::1 ;;
  esac
  find_effective "$1" "$from" "$2" "$3" && listens_at "$3" || return 0
  why=$(shut_out "$1" "$from" "$FROM_HOST" "$4")
  [ -z "$why" ] || printf "sshd refuses the login of '%s' from %s, where logins back come from: %s, and run 'pulumi up' again" "$1" "$from" "$why"
}

# shut_out ACCOUNT FROM HOST KEY_TYPE — prints what in EFFECTIVE speaks against the login; nothing if it is good.
shut_out() {
  local groups shell
  groups=$(groups_of_user "$1")
  shell=$(getent passwd "$1" | cut -d: -f7)
  case $(printf '%s\n' "$EFFECTIVE" | kept_out "$1" "$groups" "$2" "$3") in
    allowusers) printf "AllowUsers leaves it out; add '%s@%s' in %s" "$1" "$2" "$(source_of AllowUsers)" ;;
    denyusers) printf "DenyUsers has it; take it out of that in %s" "$(source_of DenyUsers)" ;;
    allowgroups) printf "AllowGroups leaves out all of its groups; add one of them in %s" "$(source_of AllowGroups)" ;;
    denygroups) printf "DenyGroups has one of its groups; take that out of it in %s" "$(source_of DenyGroups)" ;;
    *)
      if [ "$(values_of pubkeyauthentication)" = no ]; then
        wrong_value PubkeyAuthentication "set it to 'yes'" "$2"
      elif [ "${FOUND_IDS%%:*}" = 0 ] && ! root_may_use_keys; then
        wrong_value PermitRootLogin "set it to 'prohibit-password'" "$2"
      elif ! takes_key_first; then
        wrong_value AuthenticationMethods "let 'publickey' come first in one of its lists" "$2"
      elif ! takes_key_type "$4"; then
        printf "PubkeyAcceptedAlgorithms leaves out '%s'; add it in %s" "$4" "$(source_of 'PubkeyAccepted(Algorithms|KeyTypes)')"
      elif [ "$(values_of maxsessions)" = 0 ]; then
        wrong_value MaxSessions "raise it" "$2"
      elif [ ! -x "${shell:-/bin/sh}" ] && [ "$(values_of chrootdirectory)" = none ]; then
        printf "its login shell %s is not a program here; give it another with 'usermod --shell'" "$shell"
      fi
      ;;
  esac
}

# wrong_value KEYWORD WHAT_TO_DO FROM
wrong_value() {
  printf "%s is '%s'; %s, for all or below 'Match Address %s', in %s" "$1" \
    "$(values_of "$(printf '%s' "$1" | tr '[:upper:]' '[:lower:]')")" "$2" "$3" "$(source_of "$1")"
}

root_may_use_keys() {
  case $(values_of permitrootlogin) in yes | prohibit-password | without-password) ;; *) return 1 ;; esac
}

takes_key_first() {
  case " $(values_of authenticationmethods)" in " " | " any" | *" publickey"*) ;; *) return 1 ;; esac
}

takes_key_type() {
  local accepted
  accepted=$(values_of 'pubkeyaccepted[a-z]*')
  case ,$accepted, in ,, | *",$1,"*) ;; *) return 1 ;; esac
}
