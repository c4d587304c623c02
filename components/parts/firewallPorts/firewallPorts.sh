# shellcheck shell=sh
# Opens the ports of forwards that others may reach, in the firewall that is active: firewalld or ufw. On trial (trial.sh):
# the host closes them again unless a *new* login confirms that it can still be reached.
#   PORTS  "8080", "8080 from 203.0.113.0/24", "8080 to 192.0.2.1" or "8080 to 192.0.2.1 from 203.0.113.0/24", one a line;
#          "8080 from others" before the networks of a port, for all others
#   SERVES  the one of them at which tunnels come in, of other stacks as well; absent for the forwards of a tunnel
apply() {
  local undo firewall
  choose_firewalls
  [ -z "${SERVES-}" ] || keep_where_tunnels_come_in
  for firewall in firewalld ufw; do
    case " $FIREWALLS " in *" $firewall "*) "read_$firewall" ;; *) keep_recorded "$firewall" ;; esac
  done
  OPENINGS=$(for firewall in $FIREWALLS; do "openings_$firewall" "$PORTS"; done)
  if [ "$FIREWALLS" = nftables ]; then return 0; fi
  each_opening refuse_conflict
  CLOSED=$NL$(each_opening print_closed)$NL
  undo=$(each_opening undo_text)
  if [ -n "$undo" ]; then begin_trial "$undo"; fi
  each_opening open_it
  for firewall in $FIREWALLS; do "finish_$firewall"; done
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

# keep_where_tunnels_come_in — adds an earlier port of sshd to PORTS as long as tunnels come in there: if they do not work at the
# new one, they must be able to return.
keep_where_tunnels_come_in() {
  local port users
  for port in $(printf '%s' "$RECORDED" |
    sed -n "s/^ufw$TAB\([0-9]*\)\$/\1/p; s/^firewalld$TAB.* \([0-9]*\)\$/\1/p" | sort -u); do
    [ "$port" != "$SERVES" ] || continue
    users=$(sessions_at "$port" | grep '^tunnel-' | paste -sd ' ' -)
    [ -n "$users" ] || continue
    PORTS=$PORTS$NL$port
    [ "$CONFIRM" = yes ] ||
      warn "port $port stays open in the firewall, since tunnels still come in there ($users); once they come in at port $SERVES, run 'pulumi up' with another 'revision', which closes it"
  done
}

# keep_recorded FIREWALL — what was opened in a firewall that does not run now is on record for when it does again.
keep_recorded() {
  local entry
  while IFS= read -r entry <&4; do
    [ -z "$entry" ] || own "${entry%%"$TAB"*}" "${entry#*"$TAB"}"
  done 4<<EOF
$(printf '%s' "$RECORDED" | grep -e "^$1$TAB" -e "^settings$TAB$1")
EOF
}

# each_opening FUNCTION — with the firewall and the opening, for each of OPENINGS.
each_opening() {
  local firewall opening
  while read -r firewall opening <&4; do [ -z "$firewall" ] || "$1" "$firewall" "$opening"; done 4<<EOF
$OPENINGS
EOF
}

# refuse_conflict FIREWALL OPENING
refuse_conflict() { recorded "$1" "$2" || recorded_elsewhere "$1" "$2" || "refuse_conflict_$1" "$2"; }

print_closed() { "is_open_$1" "$2" || printf '%s %s\n' "$1" "$2"; }

# was_open FIREWALL OPENING — "yes", or nothing where it is closed.
was_open() { case $CLOSED in *"$NL$1 $2$NL"*) ;; *) echo yes ;; esac }

# undo_text FIREWALL OPENING — what closes again what is to be opened, for the rollback; nothing where it is open. By
# then another tunnel may have it on its record.
undo_text() {
  [ -n "$(was_open "$1" "$2")" ] ||
    printf "[ \"\$(grep -rlxF -e '%s' %s 2>/dev/null | wc -l)\" -gt 1 ] || { %s; } || not_done 'the firewall does not close the port'\n" \
      "$1$TAB$2" "$STATE" "$("close_text_$1" "$2")"
}

# open_it FIREWALL OPENING — records it, and opens it.
open_it() {
  local open key
  open=$(was_open "$1" "$2")
  ours "$1" "$2" "$open" || return 0
  key=$("settings_key_$1" "$2")
  [ -z "$key" ] || keep_settings "$key"
  own "$1" "$2"
  [ -n "$open" ] || "open_$1" "$2"
}
