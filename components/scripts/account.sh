# shellcheck shell=sh
# needs: record files session sshdAccess
# An account of a tunnel: no password, nothing of its own choice to run.
#   ACCOUNT GROUP HOME SHELL   HOME is made where it is not "/"
apply() {
  refuse_strangers
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
  [ "$HOME_DIR" = / ] || make_home
}

# The owner is looked at by itself: a run may have been killed between the two.
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
}

converge() {
  usermod "$@" -- "$ACCOUNT" || cannot "change the account $ACCOUNT (usermod $*)" /etc
  changed "changed the account $ACCOUNT ($*)"
}

undo_user() {
  getent passwd "$1" >/dev/null || return 0
  # userdel refuses while a session of the account is alive.
  uid=$(id -u "$1")
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    # Not awk, which stops at the first process that has ended since the names were listed.
    pids=$(grep -lsE "^Uid:[[:space:]]*${uid}[[:space:]]" /proc/[0-9]*/status | cut -d/ -f3) || :
    [ -n "$pids" ] || break
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || :
    [ "$attempt" = 1 ] || sleep 0.2
  done
  userdel -- "$1" || fail "cannot remove the account $1"
  changed "removed the account $1"
}

undo_group() {
  getent group "$1" >/dev/null || return 0
  groupdel -- "$1" || fail "cannot remove the group $1"
  changed "removed the group $1"
}

undo_home() { undo_dir "$1"; }

remove_later() { comes_through_tunnel_of "$ACCOUNT"; }

main "$@"
