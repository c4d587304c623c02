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
TRIAL_WANTS=/etc/systemd/system/sysinit.target.wants
# Left by the rollback, for the next run to say so.
TAKEN_BACK=$TRIAL_DIR.taken-back

# begin_trial UNDO FILE… — keeps the files as they are, and arms the rollback. UNDO is shell text for what else it does.
# What an earlier trial kept, which nobody confirmed, is what last worked: that stays, and is what comes back.
begin_trial() {
  need_cmd systemd-run systemd
  bt_undo=$1
  shift
  bt_folder=$TRIAL_DIR
  # In one piece: a folder of that name is a whole one, even where this run is killed.
  [ -d "$TRIAL_DIR" ] || bt_folder=$TRIAL_DIR.new
  {
    rm -rf -- "$TRIAL_DIR.new" &&
      { [ -d "$bt_folder" ] || mkdir -m 700 -- "$bt_folder"; } &&
      rm -f -- "$bt_folder/active" &&
      printf '%s\n' "$ROLL_BACK" >"$bt_folder/roll-back" &&
      { printf '%s\n' "$bt_undo" | cmp -s - "$bt_folder/undo" || printf '%s\n' "$bt_undo" >>"$bt_folder/undo"; } &&
      keep_files "$bt_folder" "$@" &&
      { [ "$bt_folder" = "$TRIAL_DIR" ] || mv -- "$bt_folder" "$TRIAL_DIR"; }
  } || {
    rm -rf -- "$TRIAL_DIR.new"
    cannot "write $TRIAL_DIR" "$TRIAL_DIR"
  }
  # One whose time is up waits for our lock: the trial begins anew in its place.
  systemctl stop "$TRIAL_UNIT.service" 2>/dev/null || :
  roll_back_at_boot || {
    give_up_trial
    cannot "write /etc/systemd/system/$TRIAL_AT_BOOT" /etc/systemd/system
  }
  arm "$TRIAL_SECONDS" || {
    give_up_trial
    fail "cannot arm the rollback with systemd-run; nothing was changed"
  }
}

# What an earlier trial has changed and nobody confirmed may not stay without a rollback.
give_up_trial() { if [ "$bt_folder" = "$TRIAL_DIR" ]; then roll_back script; else end_trial; fi; }

# keep_files FOLDER FILE… — a file that is not there is kept as such: the rollback removes it.
keep_files() {
  kf_folder=$1
  shift
  : >>"$kf_folder/kept" || return 1
  for kf_file; do
    ! cut -f2- "$kf_folder/kept" | grep -qxF -- "$kf_file" || continue
    kf_number=1
    while grep -q "^$kf_number$TAB" "$kf_folder/kept"; do kf_number=$((kf_number + 1)); done
    [ ! -e "$kf_file" ] || cp -a -- "$kf_file" "$kf_folder/$kf_number" || return 1
    printf '%s\t%s\n' "$kf_number" "$kf_file" >>"$kf_folder/kept" || return 1
  done
}

arm() {
  systemctl stop "$TRIAL_UNIT.timer" 2>/dev/null || :
  systemd-run --quiet --collect --unit "$TRIAL_UNIT" --on-active "$1" --timer-property AccuracySec=1s \
    --property Restart=on-failure --property RestartSec=10 /bin/sh "$TRIAL_DIR/roll-back" timer
}

# Before sshd, firewall and tunnel start; ufw is earlier than all others. systemd reads the link at the next boot and not
# before.
roll_back_at_boot() {
  cat >"/etc/systemd/system/$TRIAL_AT_BOOT" <<EOT || return 1
# Managed by ssh-reverse-tunnel, for a minute.
[Unit]
Description=Take back a change on trial of ssh-reverse-tunnel
DefaultDependencies=no
RequiresMountsFor=/var/lib /etc
After=local-fs.target
Before=sysinit.target ufw.service

[Service]
Type=oneshot
ExecStart=/bin/sh $TRIAL_DIR/roll-back boot
EOT
  if [ ! -d "$TRIAL_WANTS" ]; then
    mkdir -m 755 -- "$TRIAL_WANTS" || return 1
    : >"$TRIAL_DIR/wants-is-ours"
  fi
  ln -sf "../$TRIAL_AT_BOOT" "$TRIAL_WANTS/$TRIAL_AT_BOOT"
}

# Another script has the lock, and this one has come over a new login: time enough to wait for it.
hold_trial() {
  [ "${CONFIRM-}" != yes ] || [ ! -d "$TRIAL_DIR" ] || arm 240 || :
}

# clear_trial VERB — what a run that was killed has left of a trial; before a removal, the trial too.
clear_trial() {
  [ "${CONFIRM-}" = yes ] || rm -f -- "$TAKEN_BACK"
  { [ "$1" = apply ] && on_trial; } || { [ ! -e "$TRIAL_DIR" ] && [ ! -e "$TRIAL_DIR.new" ]; } || end_trial
}

on_trial() { [ -f "$TRIAL_DIR/kept" ]; }

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

# Keeps the change. With "kept" goes the rollback, at once; all else is clearing up.
end_trial() {
  systemctl stop "$TRIAL_UNIT.timer" 2>/dev/null || :
  rm -f -- "$TRIAL_DIR/kept"
  rm -f -- "$TRIAL_WANTS/$TRIAL_AT_BOOT" "/etc/systemd/system/$TRIAL_AT_BOOT"
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
