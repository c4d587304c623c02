# shellcheck shell=sh
# sshd on the public host, on trial (trial.sh): the new drop-in is checked, sshd reloads it, and the host puts the old one
# back after a minute, unless a *new* login has confirmed it.
#   DROP_IN         text of the drop-in
#   ACCOUNTS        pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP           their group
#   ADMIN           the account of the admin connection
#   ADD_PORT        a port that sshd is to listen on as well; absent for none
#   EVICT_STALE     path of the program that tunnel keys may run, EVICT_STALE_TEXT its text
ADD_PORT=${ADD_PORT-}

apply() {
  local text refusal earlier
  need_cmd sshd openssh-server
  # Debian's sshd wants its privilege separation folder even for a check.
  [ -d /run/sshd ] || mkdir -m 755 /run/sshd
  find_main
  ask_sshd -t 2>/dev/null || fail "sshd's configuration has an error already, before any change: $(ask_sshd -t 2>&1 | head -n 1); correct that first"
  refuse_strangers_in_group
  refuse_strangers_named "${ACCOUNTS%\*}"
  refuse_other_lists
  [ -z "$ADD_PORT" ] || refuse_port
  [ "$CONFIRM" = yes ] || warn_of_channel_timeout
  dir_of "$EVICT_STALE"
  make_dirs "$DIR"
  write_file "$EVICT_STALE" 755 "$EVICT_STALE_TEXT"
  keep_serving
  make_dirs "$DROP_IN_DIR"
  own_alone drop_in "$DROP_IN_FILE" "$([ ! -e "$DROP_IN_FILE" ] || echo yes)"
  [ ! -f "$DROP_IN_FILE" ] || keep_rights "$DROP_IN_FILE" 644
  text=$(drop_in_text)
  if in_place "$text"; then
    # Before the second run's own login, nothing has shown that one is possible.
    if [ "$CONFIRM" = yes ]; then confirm_trial "sshd's new configuration"; fi
    return 0
  fi
  SWEEP=no
  earlier=$(sed -n "s/^$PORT_MARK //p" "$DROP_IN_FILE" 2>/dev/null) || :
  know_socket "$ADD_PORT"
  begin_trial "$(undo_text)" "$DROP_IN_FILE"
  put_drop_in "$text"
  changed "wrote $DROP_IN_FILE"
  # A file that does not exist is not made: it would take the place of the distribution's own.
  is_read || [ ! -f "$MAIN" ] || add_line "$MAIN" 644 "$INCLUDE"
  [ -z "$ADD_PORT" ] || put_port "$text"
  [ -z "$earlier" ] || refuse_loss "$earlier"
  # sshd still runs with what it has loaded: a reload now could make a mistake of the administrator's own active.
  refusal=$(refusal) || roll_back_and_fail "the check of sshd's new configuration could not run" files
  [ -z "$refusal" ] || roll_back_and_fail "$refusal" files
  reload_sshd || roll_back_and_fail "sshd did not reload the new configuration" script
  [ -z "$ADD_PORT" ] || listens_in_time ||
    roll_back_and_fail "sshd does not listen on port $ADD_PORT after it has reloaded; see 'journalctl -u ssh -u sshd' there" script
  activated
  changed "reloaded sshd; the old configuration comes back in ${TRIAL_SECONDS}s unless a new login confirms this one"
  confirm_later "the change to sshd"
}

# keep_serving — in an earlier toolsDirectory, that program stays until no key of another stack runs it there.
keep_serving() {
  local file
  while IFS= read -r file <&4; do
    [ -n "$file" ] && [ "$file" != "$EVICT_STALE" ] && [ -n "$(stacks_served_by "$file")" ] || continue
    dir_of "$file"
    make_dirs "$DIR"
    own file "$file"
  done 4<<EOF
$(print_evict_stale)
EOF
}

# sshd adds up the AllowUsers of several files. If two stacks each say whom alone they let in, neither would get what it
# wants unless both say the same. An earlier version copied the administrator's AllowUsers, too.
# shellcheck disable=SC2031
refuse_other_lists() {
  local ours file theirs
  ours=$(printf '%s\n' "$DROP_IN" | allowed_by)
  [ -n "$ours" ] || return 0
  while read -r file <&3; do
    [ -n "$file" ] || continue
    theirs=$(allowed_by <"$file")
    if [ -n "$theirs" ] && [ "$theirs" != "$ours" ]; then
      fail "another stack has allowUsers for this host, too, and other accounts in it: $file allows $(one_line "$theirs"), and this one $(one_line "$ours"). sshd would let all of them in; say the same in both, which, to change it, one of them must leave out first, or, if that stack has none, run 'pulumi up' with another revision of it first"
    fi
  done 3<<EOF
$(other_drop_ins)
EOF
}

# other_drop_ins — those of other stacks, one a line.
other_drop_ins() {
  local file
  [ -d "$STATE" ] || return 0
  find_records -exec sed -n "s/^drop_in$TAB//p" {} + | while read -r file; do
    [ "$file" = "$DROP_IN_FILE" ] || [ ! -f "$file" ] || printf '%s\n' "$file"
  done
}

# allowed_by <drop-in — whom one of our drop-ins alone lets in, one a line.
allowed_by() { awk '$1 == "Match" { exit } $1 == "AllowUsers" { for (i = 2; i <= NF; i++) print $i }' | sort -u; }

# warn_of_channel_timeout — an sshd that does not use the ChannelTimeout of our Match uses the one for everybody.
warn_of_channel_timeout() {
  local word
  case $(ssh -V 2>&1) in OpenSSH_9.* | OpenSSH_10.[0-4][!0-9]*) ;; *) return 0 ;; esac
  word=$(ask_sshd -T | with_lower_keywords | idle_limit)
  [ -z "$word" ] ||
    warn "sshd ends connections through tunnels that are idle, since ChannelTimeout says '$word' in $(source_of ChannelTimeout), and sshd before OpenSSH 10.5 makes no exception for tunnel accounts; let it name other types than forwarded-tcpip, for example 'session:*=10m'"
}

one_line() { printf '%s\n' "$1" | paste -sd ' ' -; }

# For the rollback, which has put the drop-in back, or removed it. If ExecReload is a bare signal, a mistake in sshd's
# configuration would end sshd.
undo_text() {
  has_include || printf "take_line '%s' '%s'\n" "$(real_path "$MAIN")" "$INCLUDE"
  printf 'check_sshd() { sshd %s -t; }\n' "$(quoted_options)"
  [ -z "$MOVE_SOCKET" ] || cat <<'EOT'
[ "$how" = files ] || systemctl daemon-reload || not_done "systemd does not reload"
case $how in files | boot) ;; *) check_sshd && systemctl restart ssh.socket || not_done "ssh.socket does not listen by the old configuration" ;; esac
EOT
  cat <<'EOT'
if [ "$how" != files ] && [ "$how" != boot ]; then
  for unit in ssh sshd; do
    case $(systemctl show --property ActiveState $unit.service) in
      ActiveState=inactive | ActiveState=failed) continue ;;
      ActiveState=*) ;;
      *) not_done "systemd does not say whether sshd runs" && break ;;
    esac
    verb=reload-or-restart
    ! systemctl is-active --quiet $unit.socket || verb=restart
    check_sshd && systemctl $verb $unit.service && systemctl is-active --quiet $unit.service || not_done "sshd does not load the old configuration"
    break
  done
  [ -n "$failed" ] || echo 'ssh-reverse-tunnel: no new login confirmed the change to sshd; the old configuration is back' >&2
fi
EOT
}

# in_place TEXT — whether the drop-in is as wanted, and sshd has loaded it: an earlier run may have been killed before that.
in_place() {
  if has_include; then # where it is ours, keep it on record
    begin_edit "$MAIN"
    share line "$MAIN$TAB$INCLUDE" yes
  fi
  [ -f "$DROP_IN_FILE" ] && [ "$(sed "/^$PORT_LINES /d" "$DROP_IN_FILE" && echo .)" = "$1$NL." ] && lists_port && is_read &&
    { ! on_trial || trial_is_active; }
}

put_drop_in() { printf '%s\n' "$1" | put "$DROP_IN_FILE" 644 || { roll_back files && exit 3; }; } # put has said why

# What has sshd listen on ADD_PORT too is below the first line of the drop-in, before its Match.
PORT_LINES="\($PORT_MARK\|Port\|ListenAddress\)"

# lists_port — whether the drop-in adds that port, and no other, and by that sshd listens nowhere twice.
lists_port() {
  [ "$(sed -n "s/^$PORT_MARK //p" "$DROP_IN_FILE")" = "$ADD_PORT" ] || return 1
  [ -z "$ADD_PORT" ] || adds_port "$(listeners)"
}

# adds_port LISTENERS
adds_port() {
  case "$1$NL" in *":$ADD_PORT$NL"*) ;; *) return 1 ;; esac
  [ -z "$(printf '%s\n' "$1" | uniq -d)" ]
}

# asked_with LINES — what sshd -T says if these lines come before its configuration. Some versions need a login to look at a
# Match.
asked_with() {
  local words
  words=$(printf '%s' "$1" | awk '{ print "-o"; print }')
  know_daemon
  (
    IFS=$NL
    set -f
    # shellcheck disable=SC2086  # an option or its value a line
    ask_sshd -T -C "user=$ADMIN,host=127.0.0.1,addr=127.0.0.1,laddr=127.0.0.1,lport=22" $words | with_lower_keywords
  )
}

# listeners [LINES] — where sshd listens then, sorted.
listeners() { asked_with "${1-}" | sed -n 's/^listenaddress //p' | sort; }

# put_port TEXT
put_port() {
  local lines
  lines=$(port_lines) ||
    roll_back_and_fail "sshd cannot be made to listen on port $ADD_PORT as well, since its command line or a ListenAddress says where it listens; add the port there, and leave out 'listenOnSshPort'" files
  put_drop_in "$(printf '%s\n' "$1" | sed 1q)$NL$PORT_MARK $ADD_PORT${lines:+$NL$lines}$NL$(printf '%s\n' "$1" | sed 1d)"
}

# port_lines — prints what has sshd listen on ADD_PORT as well, and as before everywhere else; nothing where it does already.
# Lines of Port add up, but the first one takes the place of the default; and a ListenAddress with a port heeds none of them.
# So what sshd would do with them decides.
port_lines() {
  local before after ports lines
  before=$(listeners)
  ! adds_port "$before" || return 0
  ports=$(asked_with '' | sed -n 's/^port /Port /p')
  for lines in "Port $ADD_PORT" "$ports${NL}Port $ADD_PORT" \
    "$(printf '%s\n' "$before" | sed "s/:[0-9]*\$/:$ADD_PORT/; s/^/ListenAddress /" | sort -u)"; do
    after=$(listeners "$lines")
    adds_port "$after" && [ "$(printf '%s\n' "$after" | grep -v ":$ADD_PORT\$")" = "$before" ] || continue
    printf '%s\n' "$lines"
    return 0
  done
  return 1
}

# refuse_port — ends the script where sshd cannot listen on ADD_PORT, or where somebody else decides that.
refuse_port() {
  local unit file other holder
  need_cmd ss iproute2
  for unit in ssh.socket sshd.socket; do
    follows_sshd || ! systemctl is-active --quiet "$unit" ||
      fail "$unit listens for sshd here, and not what sshd's configuration says; add 'ListenStream=$ADD_PORT' below '[Socket]' with 'systemctl edit $unit', run 'systemctl stop ${unit%.socket}.service && systemctl restart $unit', and leave out 'listenOnSshPort'"
  done
  other=$(other_drop_ins | while read -r file; do grep -l "^$PORT_MARK " -- "$file" || :; done | head -n 1)
  [ -z "$other" ] ||
    fail "another stack has sshd listen on one more port ($other), and each of the two would rely on the other's; let only one stack set 'listenOnSshPort'"
  holder=$(port_holder)
  [ -z "$holder" ] || { follows_sshd && systemctl show --property Listen ssh.socket | grep -q ":$ADD_PORT "; } ||
    fail "port $ADD_PORT, which sshd is to listen on, is in use by $holder; end that, choose another sshPort, or have sslh or HAProxy share the port between both and leave out 'listenOnSshPort'"
}

# port_holder — "NAME (pid PID)" of what listens on ADD_PORT and is not the sshd that reloads. Whoever runs a program gives it its
# name, so only the number counts.
port_holder() {
  local pids name
  know_daemon
  list_sockets -p "sport = :$ADD_PORT" | while read -r _ _ _ pids name; do
    case ,$pids, in *",${DAEMON:-none},"*) continue ;; esac
    printf '%s (pid %s)\n' "$(printf '%s' "${name:-a program that cannot be told}" | printable 1)" "${pids%%,*}"
    break
  done
}

listens_in_time() {
  local tries
  tries=50
  until list_sockets -p "sport = :$ADD_PORT" | cut -d' ' -f4 | tr ',' '\n' | grep -qx "${DAEMON:-none}${MOVE_SOCKET:+\|1}"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 0.1
    # A restart has given it another number.
    [ -z "$MOVE_SOCKET" ] || find_daemon
  done
}

# refuse_loss PORT — ends the script if sshd would no longer listen where tunnels come in: they would be tried at their new port
# only afterwards, and could not return.
refuse_loss() {
  local users
  case $(listeners)$NL in *":$1$NL"*) return 0 ;; esac
  users=$(tunnels_at "$1")
  [ -z "$users" ] || roll_back_and_fail "sshd would no longer listen on port $1, where tunnels come in ($(one_line "$users")); first write 'Port $1', and every other port of sshd, into a file of your own in $DROP_IN_DIR, and open it in the firewall, so that both work; run 'pulumi up' again, and take the line 'Port $1', and no other, out of that file once all tunnels come in at their new port" files
}

# tunnels_at PORT — the tunnel accounts with a session that came in there, one a line.
tunnels_at() { sessions_at "$1" | grep -x "${ACCOUNTS%\*}.*" || :; }

has_include() { [ -n "$(line_number "$MAIN" "$INCLUDE")" ]; }

# The text for this very host: without what its sshd does not know yet.
drop_in_text() {
  # Both of these timeouts came with OpenSSH 9.2, and sshd -T names one of them only where it is set.
  if sshd_effective "$ADMIN" | grep -q '^unusedconnectiontimeout '; then
    printf '%s\n' "$DROP_IN"
  else
    printf '%s\n' "$DROP_IN" | sed '/^ *[A-Za-z]*Timeout /d'
  fi
}
