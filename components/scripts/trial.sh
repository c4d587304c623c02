# shellcheck shell=sh
# A change on trial, as in "commit confirmed": what was there is kept, and a timer of this host puts it back unless a *new*
# login of the admin confirms the change. The same script therefore runs twice: once to change, and once more, over a new
# connection, with CONFIRM=yes. A host that is switched off before the timer fires puts it back as it boots.
#   TRIAL          what is on trial, a part of unit names: "sshd"
#   TRIAL_SECONDS  until the host takes the change back
#   ROLL_BACK      the program that does, scripts/installed/rollBack.sh
#   CONFIRM        yes in the second run
TRIAL=${TRIAL-}
TRIAL_UNIT=$OWNER-$TRIAL-rollback
TRIAL_DIR=/var/lib/$TRIAL_UNIT
TRIAL_AT_BOOT=$TRIAL_UNIT-at-boot.service
TRIAL_AFTER_BOOT=$TRIAL_UNIT-after-boot.service
UNITS=/etc/systemd/system
TRIAL_WANTS=$UNITS/sysinit.target.wants
# Left by the rollback, for the next run to say so.
TAKEN_BACK=$TRIAL_DIR.taken-back

# begin_trial UNDO PLACE… — keeps the files as they are, and arms the rollback. UNDO is shell text for what else it does.
# What an earlier trial kept, which nobody confirmed, is what last worked: that stays, and is what comes back.
#
# A power cut may come at any moment, and what was not synced is then gone, or empty. So all that the rollback consists of
# is on the disk before "kept", which lists it, and all of that before the first change. Under a folder without a whole
# "kept", nothing was changed.
begin_trial() {
  need_cmd systemd-run systemd
  bt_undo=$1
  shift
  bt_folder=$TRIAL_DIR
  # In one piece: a folder of that name is a whole one, even where this run is killed.
  on_trial || bt_folder=$TRIAL_DIR.new
  {
    rm -rf -- "$TRIAL_DIR.new" &&
      { [ "$bt_folder" = "$TRIAL_DIR" ] || mkdir -m 700 -- "$bt_folder"; } &&
      rm -f -- "$bt_folder/active" &&
      printf '%s\n' "$ROLL_BACK" >"$bt_folder/roll-back.new" && mv -f -- "$bt_folder/roll-back.new" "$bt_folder/roll-back" &&
      add_undo "$bt_folder" "$bt_undo" && keep_files "$bt_folder" "$@" &&
      sync_disks "$bt_folder" && mv -f -- "$bt_folder/kept.new" "$bt_folder/kept" &&
      { [ "$bt_folder" = "$TRIAL_DIR" ] || { rm -rf -- "$TRIAL_DIR" && mv -T -- "$bt_folder" "$TRIAL_DIR"; }; }
  } || {
    rm -rf -- "$TRIAL_DIR.new"
    cannot "write $TRIAL_DIR" "$TRIAL_DIR"
  }
  # One whose time is up waits for our lock: the trial begins anew in its place.
  systemctl stop "$TRIAL_UNIT.service" 2>/dev/null || :
  roll_back_at_boot && sync_disks "$TRIAL_DIR" "$UNITS" || {
    give_up_trial
    cannot "write $UNITS/$TRIAL_AT_BOOT" "$UNITS"
  }
  arm "$TRIAL_SECONDS" || {
    give_up_trial
    fail "cannot arm the rollback with systemd-run; nothing was changed"
  }
}

# What an earlier trial has changed and nobody confirmed may not stay without a rollback.
give_up_trial() { if [ "$bt_folder" = "$TRIAL_DIR" ]; then roll_back script; else end_trial; fi; }

# sync_disks PATH… — writes out all of the file systems that these are on. Older versions of sync(1) have no "-f".
sync_disks() { sync -f -- "$@" 2>/dev/null || sync; }

# add_undo FOLDER TEXT — to what is to be undone already.
add_undo() {
  au_mark="# $(printf '%s' "$2" | sha256sum | cut -d' ' -f1)"
  [ ! -f "$1/undo" ] || ! grep -qxF -- "$au_mark" "$1/undo" || return 0
  {
    [ ! -f "$1/undo" ] || cat -- "$1/undo"
    printf '%s\n%s\n' "$au_mark" "$2"
  } >"$1/undo.new" && mv -f -- "$1/undo.new" "$1/undo"
}

# keep_files FOLDER PLACE… — writes kept.new: for each the number of its copy, the "uid:gid" of who puts it back, since
# nobody may know names yet as the host boots, and the path. A file that is not there is kept as such: the rollback removes
# it. The last line says that the list is whole.
keep_files() {
  kf_folder=$1
  shift
  { [ ! -f "$kf_folder/kept" ] || sed '$d' "$kf_folder/kept"; } >"$kf_folder/kept.new" || return 1
  for kf_place; do
    locate "$kf_place"
    ! cut -f3- "$kf_folder/kept.new" | grep -qxF -- "$AT_PATH" || continue
    kf_number=$(($(wc -l <"$kf_folder/kept.new") + 1))
    rm -f -- "$kf_folder/$kf_number"
    ! is_there "$kf_place" || keep_file "$kf_place" "$kf_folder/$kf_number" || return 1
    printf '%s\t%s\t%s\n' "$kf_number" "$AT_IDS" "$AT_PATH" >>"$kf_folder/kept.new" || return 1
  done
  echo whole >>"$kf_folder/kept.new"
}

# keep_file PLACE COPY — an account's file is read by that account: root would follow a link.
# shellcheck disable=SC2016
keep_file() {
  if [ "${AT_IDS%:*}" = "$SELF" ]; then
    cp -a -- "$AT_PATH" "$2"
    return
  fi
  ke_mode=$(as "$AT_IDS" sh -c '[ -f "$1" ] && [ ! -L "$1" ] && stat -c %a -- "$1"' sh "$AT_PATH") || ke_mode=
  case $ke_mode in
    *[!0-7]* | "" | ????*) fail "$1 is no regular file; put one in its place, or remove it, and run 'pulumi up' again" ;;
  esac
  copy_as_account "$AT_PATH" "$2" || fail "$1 cannot be read by its account; repair that, or remove it, and run 'pulumi up' again"
  chmod "$ke_mode" -- "$2"
}

arm() {
  systemctl stop "$TRIAL_UNIT.timer" 2>/dev/null || :
  systemd-run --quiet --collect --unit "$TRIAL_UNIT" --on-active "$1" --timer-property AccuracySec=1s \
    --property Restart=on-failure --property RestartSec=10 /bin/sh "$TRIAL_DIR/roll-back" timer
}

# Before sshd, firewall and tunnel start; ufw is earlier than all others. Where that fails, say since the disk is full, a
# second unit tries again until it has succeeded. systemd reads both at the next boot and not before.
roll_back_at_boot() {
  write_trial_unit "$TRIAL_AT_BOOT" "DefaultDependencies=no
RequiresMountsFor=/var/lib /etc
After=local-fs.target
Before=sysinit.target ufw.service

[Service]
Type=oneshot
ExecStart=/bin/sh $TRIAL_DIR/roll-back boot" || return 1
  write_trial_unit "$TRIAL_AFTER_BOOT" "After=multi-user.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh $TRIAL_DIR/roll-back timer
Restart=on-failure
RestartSec=10" || return 1
  if [ ! -d "$TRIAL_WANTS" ]; then
    mkdir -m 755 -- "$TRIAL_WANTS" || return 1
    : >"$TRIAL_DIR/wants-is-ours"
  fi
  ln -sf "../$TRIAL_AT_BOOT" "$TRIAL_WANTS/$TRIAL_AT_BOOT" &&
    ln -sf "../$TRIAL_AFTER_BOOT" "$UNITS/multi-user.target.wants/$TRIAL_AFTER_BOOT"
}

# write_trial_unit NAME TEXT
write_trial_unit() {
  printf '%s\n' "# Managed by ssh-reverse-tunnel, for a minute." "[Unit]" \
    "Description=Take back a change on trial of ssh-reverse-tunnel" "ConditionPathExists=$TRIAL_DIR/kept" "$2" |
    put "$UNITS/$1" 644
}

# Another script has the lock, and this one has come over a new login: time enough to wait for it. Called again and again
# while it waits, at least once a minute.
hold_trial() {
  [ "${CONFIRM-}" != yes ] || [ ! -d "$TRIAL_DIR" ] || arm 240 || :
}

# clear_trial VERB — what a run that was killed has left of a trial; before a removal, the trial too.
clear_trial() {
  # Not by a power cut: see begin_trial. Nobody knows any more which file was the one that worked.
  if [ -e "$TRIAL_DIR/kept" ] && ! on_trial; then
    warn "the rollback of an earlier change is damaged ($TRIAL_DIR/kept is not whole); the change is tried once more"
    trial_was_damaged=yes
  fi
  [ "${CONFIRM-}" = yes ] || rm -f -- "$TAKEN_BACK"
  { [ "$1" = apply ] && on_trial; } || { [ ! -e "$TRIAL_DIR" ] && [ ! -e "$TRIAL_DIR.new" ]; } || end_trial
}

trial_was_damaged=

on_trial() { [ "$(tail -n 1 -- "$TRIAL_DIR/kept" 2>/dev/null)" = whole ]; }

# Whether what is on trial is what runs, and not only what is written.
trial_is_active() { [ -f "$TRIAL_DIR/active" ]; }

activated() { : >"$TRIAL_DIR/active"; }

# confirm_trial WHAT — in the second run, whose login has shown that the host can still be reached.
confirm_trial() {
  on_trial || return 0
  end_trial
  changed "confirmed $1 by a new login"
}

# confirm_later WHAT — what is active now needs a login that is newer than it: in the second run, one more.
confirm_later() {
  [ "$CONFIRM" != yes ] ||
    fail "$1 had been taken back, since no new login confirmed it in time; it is active again for ${TRIAL_SECONDS}s: run 'pulumi up' again now to confirm it"
}

# Keeps the change, which is on the disk before its rollback goes. That goes with "kept", at once; all else is clearing up.
end_trial() {
  systemctl stop "$TRIAL_UNIT.timer" 2>/dev/null || :
  sync_disks /var/lib "$UNITS"
  rm -f -- "$TRIAL_DIR/kept"
  rm -f -- "$TRIAL_WANTS/$TRIAL_AT_BOOT" "$UNITS/$TRIAL_AT_BOOT" \
    "$UNITS/multi-user.target.wants/$TRIAL_AFTER_BOOT" "$UNITS/$TRIAL_AFTER_BOOT"
  [ ! -f "$TRIAL_DIR/wants-is-ours" ] || rmdir -- "$TRIAL_WANTS" 2>/dev/null || :
  rm -rf -- "$TRIAL_DIR" "$TRIAL_DIR.new" "$TAKEN_BACK"
}

# was_taken_back — once: the run after the one that says so may try again.
was_taken_back() { [ -f "$TAKEN_BACK" ] && rm -f -- "$TAKEN_BACK"; }

# roll_back HOW — script, or files where what runs has not been touched yet.
roll_back() {
  [ ! -f "$TRIAL_DIR/roll-back" ] || sh "$TRIAL_DIR/roll-back" "$1" >&2 || {
    arm 10 # it could not write; the timer tries again
    return 0
  }
  systemctl stop "$TRIAL_UNIT.timer" 2>/dev/null || :
}

# roll_back_and_fail SENTENCE HOW
roll_back_and_fail() {
  roll_back "$2"
  fail "$1; the old configuration is back"
}
