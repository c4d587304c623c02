# shellcheck shell=sh
# ufw: see firewalls.sh.

is_active_ufw() { command -v ufw >/dev/null 2>&1 && ufw status 2>/dev/null | grep -q '^Status: active'; }

# Its rules are asked for when they are needed.
read_ufw() { :; }

openings_ufw() { halves_of_others "$1" | if ufw_has_ipv6; then cat; else grep -v :; fi | sed 's/^/ufw /'; }

# halves_of_others PORTS — ufw looks at its rules one after the other, and has only one rule about the same thing: a second one
# takes the place of the first, or is not taken. So all others are refused by two rules for each family, and neither is about
# the same thing as a rule that somebody has for everyone.
halves_of_others() {
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

ufw_rules() { ufw show added | sed "s/ comment '.*'\$//"; }

# Whether ufw has this very rule.
# shellcheck disable=SC2086  # words
is_in_ufw() {
  local rule
  rule=$(ufw_rule $1)
  ufw_rules | grep -qxF -e "ufw ${rule%% *} $(ufw_match $1)"
}

# By this rule or, a port of everyone's, by one for udp as well.
is_open_ufw() { is_in_ufw "$1" || ufw_rules | grep -qxF -e "ufw allow $1"; }

# A rule of the administrator's would be gone, or of no use.
refuse_conflict_ufw() {
  local conflict
  conflict=$(conflict_in_ufw "$1")
  [ -z "$conflict" ] ||
    fail "ufw has the rule '$conflict' already, which ours would replace; remove it, 'ufw delete $conflict', or choose another port"
}

# conflict_in_ufw OPENING — somebody else's rule about the same thing: ours would take its place, or it would stay where it is,
# behind ours that refuses all others.
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

# Sets KEPT_FROM_OTHERS to the ports that others are kept from, from now on.
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
  changed "$(words_ufw "$1")"
}

# Where others are kept out from now on, the rules for some that were there already, ours and those of other tunnels, are behind
# that rule: they are put before it again.
finish_ufw() {
  local opening
  [ -n "$KEPT_FROM_OTHERS" ] || return 0
  printf '%s%s' "$RECORDED" "$OTHERS" | sed -n "s/^ufw$TAB//p" | grep ' from ' | grep -v ' from others' | sort -u | while IFS= read -r opening; do
    case $NL$KEPT_FROM_OTHERS in *"$NL${opening%% from *}$NL"*) ;; *) continue ;; esac
    is_open_ufw "$opening" || continue
    # shellcheck disable=SC2046,SC2086  # words
    { ufw delete $(ufw_rule $opening) && ufw prepend $(ufw_rule $opening) comment ssh-reverse-tunnel; } >/dev/null </dev/null || fail "ufw cannot put the rule for port $opening first"
  done || exit "$?"
  KEPT_FROM_OTHERS=
}

# As the host boots, ufw's own rules may not be there yet. Then it writes to its first file and fails, and to its second file the
# second time.
close_text_ufw() {
  local rule
  # shellcheck disable=SC2086  # words
  rule=$(ufw_rule $1)
  # shellcheck disable=SC2016  # what comes of the rollback is in its own variable
  printf '! command -v ufw >/dev/null || ufw delete %s >/dev/null || { [ "$how" = boot ] && ufw delete %s >/dev/null; }' "$rule" "$rule"
}

words_ufw() { printf '%s in ufw' "$(in_words "$1")"; }

settings_key_ufw() { echo ufw; }

settings_ufw() { ufw status verbose && ufw show added; }

files_ufw() { printf '%s\n' /etc/ufw/user.rules /etc/ufw/user6.rules; }

# ufw has only the file.
unload_ufw() { :; }

kind ufw PORT
undo_ufw() {
  command -v ufw >/dev/null 2>&1 || return 0
  is_in_ufw "$1" || return 0
  # shellcheck disable=SC2046,SC2086  # words
  ufw delete $(ufw_rule $1) >/dev/null || fail "ufw cannot take back that it $(in_words "$1")"
  changed "took back: $(words_ufw "$1")"
}
