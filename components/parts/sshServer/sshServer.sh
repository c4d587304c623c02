# shellcheck shell=sh
# sshd on the public host, on trial (trial.sh): the new drop-in is checked, sshd reloads it, and the host puts the old one
# back after a minute, unless a *new* login has confirmed it.
#   DROP_IN         text of the drop-in
#   ACCOUNTS        pattern of the tunnel accounts' names, "tunnel-*"
#   GROUP           their group
#   ADMIN           the account of the admin connection
#   EVICT_STALE     path of the program that tunnel keys may run, EVICT_STALE_TEXT its text
INCLUDE="Include $DROP_IN_FILE"

apply() {
  local text refusal
  need_cmd sshd openssh-server
  # Debian's sshd wants its privilege separation folder even for a check.
  [ -d /run/sshd ] || mkdir -m 755 /run/sshd
  sshd -t 2>/dev/null || fail "sshd's configuration has an error already, before any change: $(sshd -t 2>&1 | head -n 1); correct that first"
  refuse_strangers_in_group
  refuse_strangers_named "${ACCOUNTS%\*}"
  refuse_other_lists
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
  included || add_line "$MAIN" 644 "$INCLUDE"
  printf '%s\n' "$text" | put "$DROP_IN_FILE" 644 || { roll_back files && exit 3; } # put has said why
  changed "wrote $DROP_IN_FILE"
  # sshd still runs with what it has loaded: a reload now could make a mistake of the administrator's own active.
  refusal=$(refusal) || roll_back_and_fail "the check of sshd's new configuration could not run" files
  [ -z "$refusal" ] || roll_back_and_fail "$refusal" files
  reload_sshd || roll_back_and_fail "sshd did not reload the new configuration" script
  activated
  changed "reloaded sshd; the old configuration comes back in ${TRIAL_SECONDS}s unless a new login confirms this one"
  confirm_later "the change to sshd"
}

# sshd adds up the AllowUsers of several files. If two stacks each say whom alone they let in, neither would get what it
# wants unless both say the same; and what another stack once copied from the administrator must not outlive that.
# shellcheck disable=SC2031
refuse_other_lists() {
  local ours file theirs more
  ours=$(printf '%s\n' "$DROP_IN" | allowed_by setting)
  [ -n "$ours" ] || return 0
  while read -r file <&3; do
    [ "$file" != "$DROP_IN_FILE" ] && [ -f "$file" ] || continue
    theirs=$(allowed_by setting <"$file")
    if [ -n "$theirs" ] && [ "$theirs" != "$ours" ]; then
      fail "another stack has allowUsers for this host, too, and other accounts in it: $file allows $(one_line "$theirs"), and this one $(one_line "$ours"). sshd would let all of them in; say the same in both, which, to change it, one of them must leave out first"
    fi
    more=$(allowed_by copy <"$file" | grep -vxF -e "$ours" -e "$(own_allow_users | tr ' ' '\n')") || :
    [ -z "$more" ] ||
      fail "allowUsers would not keep out $(one_line "$more"), which $file still allows because AllowUsers of the host did; run 'pulumi up' with another revision of that stack first"
  done 3<<EOF
$([ ! -d "$STATE" ] || find_records -exec sed -n "s/^drop_in$TAB//p" {} +)
EOF
}

# allowed_by WHAT <drop-in — whom one of our drop-ins allows, one a line: by the stack's setting, or by a copy of what the
# administrator's own files say, which is before its first comment.
allowed_by() {
  awk -v what="$1" '
    /^# Managed/ { setting = 1 }
    $1 == "AllowUsers" && setting == (what == "setting") { for (i = 2; i <= NF; i++) print $i }' | sort -u
}

one_line() { printf '%s\n' "$1" | paste -sd ' ' -; }

# For the rollback, which has put the drop-in back, or removed it. If ExecReload is a bare signal, a mistake in sshd's
# configuration would end sshd.
undo_text() {
  included || printf "take_line '%s' '%s'\n" "$(real_path "$MAIN")" "$INCLUDE"
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
    sshd -t && systemctl $verb $unit.service && systemctl is-active --quiet $unit.service || not_done "sshd does not load the old configuration"
    break
  done
  [ -n "$failed" ] || echo 'ssh-reverse-tunnel: no new login confirmed the change to sshd; the old configuration is back' >&2
fi
EOT
}

# in_place TEXT — whether the drop-in is as wanted, and sshd has loaded it: an earlier run may have been killed before that.
in_place() {
  if included_by_line; then # where it is ours, keep it on record
    begin_edit "$MAIN"
    share line "$MAIN$TAB$INCLUDE" yes
  fi
  [ -f "$DROP_IN_FILE" ] && printf '%s\n' "$1" | cmp -s - "$DROP_IN_FILE" && included &&
    { ! on_trial || trial_is_active; }
}

# Whether the main file includes the drop-ins' folder, or our drop-in, for everyone: below a Match it would be for some.
included() {
  included_by_line || awk '
    { gsub(/["=]/, " "); keyword = tolower($1) }
    keyword == "match" { exit }
    keyword == "include" { for (i = 2; i <= NF; i++) if ($i ~ /^(\/etc\/ssh\/)?sshd_config\.d\/\*(\.conf)?$/) found = 1 }
    END { exit !found }' "$MAIN"
}

included_by_line() { [ -n "$(line_number "$MAIN" "$INCLUDE")" ]; }

# The text for this very host: without what its sshd does not know yet, and with the tunnel accounts allowed where the
# administrator allows accounts by name. Ours then names the administrator's too: should that line go, nobody is locked out.
drop_in_text() {
  local allowed
  allowed=$(own_allow_users)
  if [ -n "$allowed" ] && ! printf '%s\n' "$DROP_IN" | grep -q '^AllowUsers '; then
    printf 'AllowUsers%s %s\n' "$allowed" "$ACCOUNTS"
  fi
  if sshd_effective "$ADMIN" | grep -q '^unusedconnectiontimeout '; then
    printf '%s\n' "$DROP_IN"
  else
    printf '%s\n' "$DROP_IN" | sed '/UnusedConnectionTimeout/d'
  fi
}

# Whom the administrator's own AllowUsers name, outside of any Match. sshd_config(5): "keyword arguments", perhaps with
# a "=" between them, in quotes, and with a comment behind.
own_allow_users() {
  # shellcheck disable=SC2016  # awk's own
  with_drop_ins awk '
    FNR == 1 { match_block = 0; managed = /^# Managed by ssh-reverse-tunnel/ || /^AllowUsers .*tunnel-\*$/ }
    { sub(/^[ \t]+/, ""); sub(/[ \t]#.*/, ""); keyword = tolower($0); sub(/[ \t=].*/, "", keyword); gsub(/"/, "", keyword) }
    keyword == "match" { match_block = 1 }
    !managed && !match_block && keyword == "allowusers" { sub(/^[^ \t=]+[ \t]*=?[ \t]*/, ""); printf " %s", $0 }' "$MAIN"
}
