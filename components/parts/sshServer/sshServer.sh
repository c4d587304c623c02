# shellcheck shell=sh
# sshd on the public host, on trial (trial.sh): the new drop-in is checked, sshd reloads it, and the host puts the old one
# back after a minute, unless a *new* login has confirmed it.
#   DROP_IN         text of the drop-in
#   ACCOUNTS        pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP           their group
#   ADMIN           the account of the admin connection
#   EVICT_STALE     path of the program that tunnel keys may run, EVICT_STALE_TEXT its text

apply() {
  local text refusal
  need_cmd sshd openssh-server
  # Debian's sshd wants its privilege separation folder even for a check.
  [ -d /run/sshd ] || mkdir -m 755 /run/sshd
  find_main
  ask_sshd -t 2>/dev/null || fail "sshd's configuration has an error already, before any change: $(ask_sshd -t 2>&1 | head -n 1); correct that first"
  refuse_strangers_in_group
  refuse_strangers_named "${ACCOUNTS%\*}"
  refuse_other_lists
  [ "$CONFIRM" = yes ] || warn_of_channel_timeout
  dir_of "$EVICT_STALE"
  make_dirs "$DIR"
  write_file "$EVICT_STALE" 755 "$EVICT_STALE_TEXT"
  make_dirs "$DROP_IN_DIR"
  own_alone drop_in "$DROP_IN_FILE" "$([ ! -e "$DROP_IN_FILE" ] || echo yes)"
  text=$(drop_in_text)
  if in_place "$text"; then
    # Before the second run's own login, nothing has shown that one is possible.
    if [ "$CONFIRM" = yes ]; then confirm_trial "sshd's new configuration"; fi
    return 0
  fi
  begin_trial "$(undo_text)" "$DROP_IN_FILE"
  printf '%s\n' "$text" | put "$DROP_IN_FILE" 644 || { roll_back files && exit 3; } # put has said why
  changed "wrote $DROP_IN_FILE"
  # A file that does not exist is not made: it would take the place of the distribution's own.
  is_read || [ ! -f "$MAIN" ] || add_line "$MAIN" 644 "$INCLUDE"
  # sshd still runs with what it has loaded: a reload now could make a mistake of the administrator's own active.
  refusal=$(refusal) || roll_back_and_fail "the check of sshd's new configuration could not run" files
  [ -z "$refusal" ] || roll_back_and_fail "$refusal" files
  reload_sshd || roll_back_and_fail "sshd did not reload the new configuration" script
  activated
  changed "reloaded sshd; the old configuration comes back in ${TRIAL_SECONDS}s unless a new login confirms this one"
  confirm_later "the change to sshd"
}

# sshd adds up the AllowUsers of several files. If two stacks each say whom alone they let in, neither would get what it
# wants unless both say the same. An earlier version copied the administrator's AllowUsers, too.
# shellcheck disable=SC2031
refuse_other_lists() {
  local ours file theirs
  ours=$(printf '%s\n' "$DROP_IN" | allowed_by)
  [ -n "$ours" ] || return 0
  while read -r file <&3; do
    [ "$file" != "$DROP_IN_FILE" ] && [ -f "$file" ] || continue
    theirs=$(allowed_by <"$file")
    if [ -n "$theirs" ] && [ "$theirs" != "$ours" ]; then
      fail "another stack has allowUsers for this host, too, and other accounts in it: $file allows $(one_line "$theirs"), and this one $(one_line "$ours"). sshd would let all of them in; say the same in both, which, to change it, one of them must leave out first, or, if that stack has none, run 'pulumi up' with another revision of it first"
    fi
  done 3<<EOF
$([ ! -d "$STATE" ] || find_records -exec sed -n "s/^drop_in$TAB//p" {} +)
EOF
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
  [ -f "$DROP_IN_FILE" ] && printf '%s\n' "$1" | cmp -s - "$DROP_IN_FILE" && is_read &&
    { ! on_trial || trial_is_active; }
}

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
