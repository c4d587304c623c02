# shellcheck shell=sh
# An account of a tunnel: no password, nothing of its own choice to run.
#   ACCOUNT GROUP HOME SHELL   HOME is made where it is not "/"
apply() {
  local now
  refuse_strangers_in_group
  share group "$GROUP" "$(! getent group "$GROUP" >/dev/null || echo yes)"
  if ! getent group "$GROUP" >/dev/null; then
    groupadd --system -- "$GROUP" || cannot "create the group $GROUP" /etc
    changed "created the group $GROUP"
  fi
  if [ "$HOME_DIR" != / ]; then
    own_alone home "$HOME_DIR" "$([ ! -e "$HOME_DIR" ] || echo yes)"
  fi
  own_alone user "$ACCOUNT" "$(! getent passwd "$ACCOUNT" >/dev/null || echo yes)"
  if ! getent passwd "$ACCOUNT" >/dev/null; then
    # '*' and not '!': sshd takes an account whose password begins with '!' for a locked one where UsePAM is no.
    useradd --system --no-create-home --no-user-group --gid "$GROUP" --home-dir "$HOME_DIR" --shell "$LOGIN_SHELL" \
      --password '*' --comment "ssh-reverse-tunnel $OWNER" -- "$ACCOUNT" || cannot "create the account $ACCOUNT" /etc
    changed "created the account $ACCOUNT"
  fi
  now=$(getent passwd "$ACCOUNT")
  [ "$(id -gn "$ACCOUNT")" = "$GROUP" ] || converge --gid "$GROUP"
  [ "$(printf '%s' "$now" | cut -d: -f6)" = "$HOME_DIR" ] || converge --home "$HOME_DIR"
  [ "$(printf '%s' "$now" | cut -d: -f7)" = "$LOGIN_SHELL" ] || converge --shell "$LOGIN_SHELL"
  converge_shadow "$(getent shadow "$ACCOUNT")"
  if [ "$HOME_DIR" = / ]; then without_manager; else make_home; fi
}

# logind gives everyone who logs in a systemd of his own: two processes, which an account without a home has no use for.
# logind(8) accepts a masked one; the login is no slower, and nothing is logged. The runtime folder stays: without it
# pam_systemd(8) reports an error at each login, and if its unit is masked, newer versions make no session at all.
without_manager() {
  local unit link there
  unit=user@$(id -u "$ACCOUNT").service
  link=/etc/systemd/system/$unit
  there=
  if [ -e "$link" ] || [ -L "$link" ]; then there=yes; fi
  share mask "$unit" "$there"
  recorded mask "$unit" || return 0 # somebody else's
  if [ -z "$there" ]; then
    ln -s /dev/null "$link" || cannot "write $link" "$link"
    label "$link"
    changed "masked $unit"
  fi
  # An earlier version had no mask, and what is loaded or runs already does not see it. The session is no part of that unit.
  [ "$(load_state "$unit")" = masked ] || systemctl daemon-reload
  ! systemctl is-active --quiet "$unit" || systemctl stop "$unit" || warn "$unit does not stop"
}

# The owner is checked separately: a run may have been killed between the two.
make_home() {
  if [ ! -d "$HOME_DIR" ]; then
    mkdir -m 700 -- "$HOME_DIR" || cannot "create the folder $HOME_DIR" "$HOME_DIR"
    label "$HOME_DIR"
    changed "created the folder $HOME_DIR"
  fi
  if [ "$(stat -c %U:%G -- "$HOME_DIR")" != "$ACCOUNT:$GROUP" ]; then
    chown -h "$ACCOUNT:$GROUP" -- "$HOME_DIR" || cannot "change the owner of $HOME_DIR" "$HOME_DIR"
    changed "gave the folder $HOME_DIR to $ACCOUNT"
  fi
  case $(stat -c %a -- "$HOME_DIR") in
    700 | ?700) ;;
    *)
      chmod 700 -- "$HOME_DIR" || cannot "change the mode of $HOME_DIR" "$HOME_DIR"
      changed "gave $HOME_DIR the mode 700 again"
      ;;
  esac
}

# converge_shadow ENTRY — its line of shadow(5): no password, not locked, and no end.
converge_shadow() {
  local rest
  rest=${1#*:}
  case $rest in '' | '*:'*) ;; *) converge --password '*' ;; esac
  rest=${rest#*:*:*:*:*:*:}
  case $rest in '' | :*) ;; *) converge --expiredate '' ;; esac
}

converge() {
  usermod "$@" -- "$ACCOUNT" || cannot "change the account $ACCOUNT (usermod $*)" /etc
  changed "changed the account $ACCOUNT ($*)"
}
