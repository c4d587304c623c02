# shellcheck shell=sh
# A change on trial, as in "commit confirmed": what was there is kept, and a timer of this host puts it back unless a *new*
# login of the admin confirms the change. The same script therefore runs twice: once to change, and once more, over a new
# connection, with CONFIRM=yes. A host that is switched off before the timer fires puts it back as it boots.
#   TRIAL          what is on trial, a part of unit names: "sshd"
#   TRIAL_SECONDS  until the host takes the change back
#   ROLL_BACK      the program that does, shell/programs/rollBack.sh
#   CONFIRM        no in the first run, yes in the second; now where one run does both, since what is on trial cannot keep
#                  the admin out
TRIAL=${TRIAL-}
TRIAL_UNIT=$OWNER-$TRIAL-rollback
TRIAL_DIR=/var/lib/$TRIAL_UNIT
TRIAL_AT_BOOT=$TRIAL_UNIT-at-boot.service
# The name of the second of two timers: the older one goes when the newer one is there.
TRIAL_NEXT=$TRIAL_UNIT-next
# Tries again what could not be taken back as the host booted.
TRIAL_AGAIN=$TRIAL_UNIT-again.service
TRIAL_WANTS=/etc/systemd/system/sysinit.target.wants
# A trial that has ended, while it is being cleared away.
TRIAL_ENDED=$TRIAL_DIR.ended
# The rollback leaves it for the next run, which says so.
TAKEN_BACK=$TRIAL_DIR.taken-back

# begin_trial UNDO PLACE… — keeps the files as they are, and arms the rollback. UNDO is shell text for what else the
# rollback does. If nobody has confirmed an earlier trial, what that one kept is what last worked: it stays, and is what
# comes back. When this returns, all of it is on the disk: a change never gets there before its rollback.
begin_trial() {
  local undo folder
  need_cmd systemd-run systemd
  need_cmd timeout coreutils
  undo=$1
  shift
  ! is_torn ||
    fail "this host lost its power during a change that nobody had confirmed, and what it had kept of the configuration before, in $TRIAL_DIR, is not whole; look at what is configured now, run 'rm -r $TRIAL_DIR' there if that is right, and run 'pulumi up' again"
  folder=$TRIAL_DIR
  # In one piece: a folder of that name is always whole, even if this run is killed.
  on_trial || folder=$TRIAL_DIR.new
  REFUSAL=
  rm -f -- "/run/$TRIAL_UNIT".* # what an earlier rollback has noted
  # shellcheck disable=SC2046  # names without spaces; a copy that is a link has nothing to write
  {
    rm -rf -- "$TRIAL_DIR.new" &&
      { [ -d "$folder" ] || mkdir -m 700 -- "$folder"; } &&
      rm -f -- "$folder/active" "$folder"/*.restarted &&
      printf '%s\t%s\n' "$OWNER" "$RESOURCE" >"$folder/holder" &&
      printf '%s\n' "$ROLL_BACK" >"$folder/roll-back.new" &&
      keep_undo "$folder" "$undo" &&
      keep_files "$folder" "$@" &&
      sync_file $(find "$folder" -type f) &&
      mv -f -- "$folder/roll-back.new" "$folder/roll-back" &&
      mv -f -- "$folder/undo.new" "$folder/undo" &&
      mv -f -- "$folder/kept.new" "$folder/kept" &&
      sync_file "$folder" &&
      { [ "$folder" = "$TRIAL_DIR" ] || mv -- "$folder" "$TRIAL_DIR"; }
  } || {
    rm -rf -- "$TRIAL_DIR.new"
    [ -z "$REFUSAL" ] || fail "$REFUSAL"
    cannot "write $TRIAL_DIR" "$TRIAL_DIR"
  }
  roll_back_at_boot || {
    give_up_trial "$folder"
    cannot "write /etc/systemd/system/$TRIAL_AT_BOOT" /etc/systemd/system
  }
  arm "$TRIAL_SECONDS" || {
    give_up_trial "$folder"
    fail "cannot arm the rollback with systemd-run; nothing was changed"
  }
  # A rollback that had not waited for our lock may have ended in the meantime.
  on_trial || {
    disarm
    fail "the change before this one has just been taken back; nothing was changed: run 'pulumi up' again"
  }
}

# give_up_trial FOLDER — if that is the folder of an earlier trial, its changes, which nobody has confirmed, must not stay
# without a rollback.
give_up_trial() { if [ "$1" = "$TRIAL_DIR" ]; then roll_back script; else end_trial; fi; }

# keep_undo FOLDER UNDO — puts what an earlier trial is to undo before it.
keep_undo() {
  {
    [ ! -f "$1/undo" ] || cat -- "$1/undo"
    printf '%s\n' "$2" | cmp -s - "$1/undo" || printf '%s\n' "$2"
  } >"$1/undo.new"
}

# keep_files FOLDER PLACE… — lists them in "kept", "NUMBER<TAB>UID:GID:GROUPS<TAB>PATH", with who acts there, and "whole" at
# the end. The rollback looks up no accounts, since they may not be known yet when the host boots. A file that is not there
# is listed too: the rollback removes it. Fails if one cannot be kept, and sets REFUSAL if there is a reason to tell.
keep_files() {
  local folder place number
  folder=$1
  shift
  { [ ! -f "$folder/kept" ] || grep -vxF whole "$folder/kept" || :; } >"$folder/kept.new" || return 1
  for place; do
    locate "$place"
    ! cut -f3- "$folder/kept.new" | grep -qxF -- "$AT_PATH" || continue
    number=$(($(wc -l <"$folder/kept.new") + 1))
    case $AT_IDS in
      0:*) keep_file_of_root "$AT_PATH" "$folder/$number" || return 1 ;;
      *) keep_file_of_account "$AT_PATH" "$folder/$number" || return 1 ;;
    esac
    printf '%s\t%s:%s\t%s\n' "$number" "$AT_IDS" "$(groups_of "$AT_IDS")" "$AT_PATH" >>"$folder/kept.new" || return 1
  done
  echo whole >>"$folder/kept.new"
}

# groups_of UID:GID — all groups of that account, "1000,27": one of them may be what opens the folder of its home.
groups_of() {
  local groups
  groups=$(id -G -- "$(id -un -- "${1%:*}" 2>/dev/null)" 2>/dev/null | tr ' ' ,) || :
  printf '%s' "${groups:-${1#*:}}"
}

# keep_file_of_root PATH COPY — a link that belongs to root stays a link.
keep_file_of_root() {
  rm -f -- "$2"
  if [ -f "$1" ] || [ -L "$1" ]; then
    cp -a -- "$1" "$2"
  elif [ -e "$1" ]; then
    REFUSAL="$1 is not a file; move it away and run 'pulumi up' again"
    return 1
  fi
}

# What an account says about a file of its own: its mode and size, and then its content. A folder on the way that is the
# account's own link could lead elsewhere. This runs as the account.
# shellcheck disable=SC2016
KEEP_AS_ACCOUNT='
  folder=${1%/*}
  while [ -n "$folder" ]; do
    if [ -L "$folder" ] && [ "$(stat -c %u -- "$folder")" != 0 ]; then echo link && exit; fi
    folder=${folder%/*}
  done
  if [ -L "$1" ]; then
    echo link
  elif [ -f "$1" ]; then
    stat -c "%a %s" -- "$1" && cat -- "$1"
  elif [ -e "$1" ]; then
    echo other
  elif [ -x "${1%/*}" ]; then
    echo absent
  else
    echo other
  fi'

# keep_file_of_account PATH COPY — the account in AT_IDS reads it, a megabyte at most, since it may put a link, a pipe or a
# process of its own there at any time. Only we write the copy.
keep_file_of_account() {
  local mode size
  rm -f -- "$2" "$2.new"
  as "$AT_IDS" sh -c "$KEEP_AS_ACCOUNT" sh "$1" </dev/null 2>/dev/null | timeout -s KILL 60 head -c 1048577 >"$2.new" || return 1
  mode=$(head -n 1 -- "$2.new" | head -c 24)
  size=${mode#* }
  mode=${mode%% *}
  case $mode in
    absent)
      rm -f -- "$2.new"
      return 0
      ;;
    link | other) REFUSAL="$1 is not a file of its account's own, but a link or something else, or a folder above it is a link; put a file in its place, or remove it, and run 'pulumi up' again" ;;
    '' | *[!0-7]*) REFUSAL="$1 cannot be read as its account within a minute; put a file in its place, or remove it, and run 'pulumi up' again" ;;
    *) [ "$(wc -c <"$2.new")" -le 1048576 ] || REFUSAL="$1 is larger than a megabyte; move it away and run 'pulumi up' again" ;;
  esac
  [ -z "$REFUSAL" ] || return 1
  while [ "${#mode}" -gt 3 ]; do mode=${mode#?}; done
  tail -n +2 -- "$2.new" >"$2" && chmod "$mode" -- "$2" && rm -f -- "$2.new" || return 1
  [ "$(wc -c <"$2")" = "$size" ] || {
    REFUSAL="$1 changed while it was read; run 'pulumi up' again"
    return 1
  }
}

# arm SECONDS — from now on. A rollback whose time is up waits for our lock: it ends, and the new one takes its place. There
# is a timer at every moment, so the new one takes the name that is free.
arm() {
  local unit other
  unit=$TRIAL_UNIT other=$TRIAL_NEXT
  if is_loaded "$unit"; then unit=$TRIAL_NEXT other=$TRIAL_UNIT; fi
  systemctl stop "$unit.timer" "$unit.service" 2>/dev/null || :
  start_timer "$unit" "$1" || return 1
  systemctl stop "$other.timer" "$other.service" "$TRIAL_AGAIN" 2>/dev/null || :
  # Another run, which waits for the lock, may have done the same at the same time, and have stopped ours.
  is_loaded "$unit" || start_timer "$unit" "$1"
}

# start_timer UNIT SECONDS
start_timer() {
  # systemd has variables and escapes of its own in a command; this one has none.
  systemd-run --quiet --collect --unit "$1" --on-active "$2" --timer-property AccuracySec=1s \
    --property Restart=on-failure --property RestartSec=10 \
    /bin/sh -c "[ ! -e $TRIAL_DIR/roll-back ] || exec /bin/sh $TRIAL_DIR/roll-back timer"
}

# is_loaded UNIT — its timer, or what the timer has started.
is_loaded() { is_busy "$1.timer" "$1.service"; }

# is_busy UNIT… — whether one of them runs, waits, or waits for its next attempt.
is_busy() { systemctl is-active "$@" 2>/dev/null | grep -qxE 'active|activating|reloading|deactivating'; }

# disarm — nothing of it runs or waits any more.
disarm() {
  systemctl stop "$TRIAL_UNIT.timer" "$TRIAL_NEXT.timer" "$TRIAL_UNIT.service" "$TRIAL_NEXT.service" "$TRIAL_AGAIN" 2>/dev/null || :
}

# Before sshd, the firewall and the tunnel start; ufw starts earlier than all others. systemd reads the link at the next
# boot, and not before. If the rollback fails, they start with the change, and are told about the old configuration as soon
# as it is back. Before version 244, systemd starts no oneshot unit again, so another unit does that.
roll_back_at_boot() {
  cat >"/etc/systemd/system/$TRIAL_AT_BOOT.new" <<EOT || return 1
; Managed by ssh-reverse-tunnel, for a minute.
[Unit]
Description=Take back a change on trial of ssh-reverse-tunnel
DefaultDependencies=no
ConditionPathExists=$TRIAL_DIR/kept
RequiresMountsFor=/var/lib /etc
After=local-fs.target
Before=sysinit.target ufw.service
OnFailure=$TRIAL_AGAIN

[Service]
Type=oneshot
ExecStart=/bin/sh $TRIAL_DIR/roll-back boot
TimeoutStartSec=90
EOT
  cat >"/etc/systemd/system/$TRIAL_AGAIN.new" <<EOT || return 1
; Managed by ssh-reverse-tunnel, for a minute.
[Unit]
Description=Take back a change on trial of ssh-reverse-tunnel, which could not be taken back before
ConditionPathExists=$TRIAL_DIR/kept
After=ssh.service sshd.service ufw.service firewalld.service

[Service]
ExecStart=/bin/sh $TRIAL_DIR/roll-back timer
Restart=on-failure
RestartSec=10
EOT
  if [ ! -d "$TRIAL_WANTS" ]; then
    : >"$TRIAL_DIR/wants-is-ours" && mkdir -m 755 -- "$TRIAL_WANTS" || return 1
  fi
  ln -sf "../$TRIAL_AT_BOOT" "$TRIAL_WANTS/$TRIAL_AT_BOOT" || return 1
  set -- "/etc/systemd/system/$TRIAL_AT_BOOT" "/etc/systemd/system/$TRIAL_AGAIN"
  sync_file "$1.new" "$2.new" && mv -f -- "$1.new" "$1" && mv -f -- "$2.new" "$2" || return 1
  sync_file "$TRIAL_DIR" "${TRIAL_DIR%/*}" "$TRIAL_WANTS" "${1%/*}"
}

# hold_trial — another script has the lock, and this one has come over a new login: it gets enough time to wait.
hold_trial() {
  [ "${CONFIRM-}" != yes ] || ! on_trial || arm 240 || :
}

# clear_trial VERB — clears what a run that was killed has left of a trial; before a removal, the trial too.
clear_trial() {
  local path
  [ -n "$TRIAL" ] || return 0
  [ "${CONFIRM-}" = yes ] || rm -f -- "$TAKEN_BACK"
  if [ "$1" = apply ] && on_trial; then
    # Its login came in time; what it looks at may take longer than what is left.
    [ "${CONFIRM-}" != yes ] || arm "$TRIAL_SECONDS" || :
    return 0
  fi
  # A torn trial ends in the second run: if the first run did not stop at it, everything was in place, and a new login shows
  # that it works.
  if [ "$1" = apply ] && is_torn && [ "${CONFIRM-}" != yes ]; then return 0; fi
  for path in "$TRIAL_DIR" "$TRIAL_DIR.new" "$TRIAL_ENDED" "/etc/systemd/system/$TRIAL_AT_BOOT" "/etc/systemd/system/$TRIAL_AGAIN"; do
    if [ -e "$path" ]; then
      end_trial
      return 0
    fi
  done
}

# on_trial — whether there is a trial that can be taken back. The last line of "kept" is written when all else is on the
# disk.
on_trial() {
  [ -s "$TRIAL_DIR/undo" ] && [ -s "$TRIAL_DIR/roll-back" ] && [ -f "$TRIAL_DIR/kept" ] &&
    [ "$(tail -n 1 -- "$TRIAL_DIR/kept")" = whole ]
}

# is_torn — whether the disk lost a part of a trial.
is_torn() { [ -d "$TRIAL_DIR" ] && ! on_trial; }

# trial_is_active — whether what runs is what is on trial, and that is not only written.
trial_is_active() { [ -f "$TRIAL_DIR/active" ]; }

activated() { : >"$TRIAL_DIR/active"; }

# confirm_trial WHAT — in the second run, whose login has shown that the host can still be reached. A rollback waits for our
# lock, but not for ever: once one has begun, what this login has shown is no longer true. Its rest does not run at once,
# since it could end this session before that could report.
confirm_trial() {
  on_trial || return 0
  stop_roll_back
  trial_is_active || {
    arm 2 || roll_back script
    fail "this login came too late to confirm $1, whose rollback had begun and goes on now; run 'pulumi up' again to try once more"
  }
  drop_trial
  if [ "$CONFIRM" = now ]; then changed "confirmed $1"; else changed "confirmed $1 by a new login"; fi
}

# confirm_later WHAT — what is active only now needs a login that is newer than it; in the second run, that is one more.
confirm_later() {
  [ "$CONFIRM" != yes ] ||
    fail_with "$CONFIRM_AGAIN" "$1 had been taken back, since no new login confirmed it in time; it is active again for ${TRIAL_SECONDS}s: run 'pulumi up' again now to confirm it"
}

# end_trial — keeps the change.
end_trial() {
  stop_roll_back
  drop_trial
}

# stop_roll_back — ends one that runs, once the change is on the disk. As long as there is a trial, it has a timer.
stop_roll_back() {
  [ -d "$TRIAL_DIR" ] || return 0
  sync_changes
  ! is_busy "$TRIAL_UNIT.service" "$TRIAL_NEXT.service" "$TRIAL_AGAIN" || arm 60 || :
}

# drop_trial — when the folder loses its name, there is no rollback any more; all else is clearing up. That is on the disk
# before the units go.
drop_trial() {
  local unit
  if [ -d "$TRIAL_DIR" ]; then
    rm -rf -- "$TRIAL_ENDED" && mv -- "$TRIAL_DIR" "$TRIAL_ENDED" || cannot "end the trial in $TRIAL_DIR" "$TRIAL_DIR"
    sync_file "${TRIAL_DIR%/*}"
  fi
  disarm
  rm -f -- "$TRIAL_WANTS/$TRIAL_AT_BOOT"
  for unit in "$TRIAL_AT_BOOT" "$TRIAL_AGAIN"; do rm -f -- "/etc/systemd/system/$unit" "/etc/systemd/system/$unit.new"; done
  [ ! -f "$TRIAL_ENDED/wants-is-ours" ] || rmdir -- "$TRIAL_WANTS" 2>/dev/null || :
  rm -rf -- "$TRIAL_ENDED" "$TRIAL_DIR.new" "$TAKEN_BACK"
  rm -f -- "/run/$TRIAL_UNIT".*
}

# The files were written whole, but if they are on other disks than the trial, their names may get there later than its end.
# A firewall writes files of its own.
sync_changes() {
  local number ids path
  sync -f /etc "${tools:-/}" 2>/dev/null || sync
  [ -f "$TRIAL_DIR/kept" ] || return 0
  while IFS=$TAB read -r number ids path <&3; do
    case ${ids:-0:0} in 0:*) continue ;; esac
    as "${ids%:*}" sync -f -- "${path%/*}" </dev/null 2>/dev/null || :
  done 3<"$TRIAL_DIR/kept"
}

# was_taken_back — says so once: the run after that may try again.
was_taken_back() { [ -f "$TAKEN_BACK" ] && rm -f -- "$TAKEN_BACK"; }

BACK=
# roll_back HOW — script, or files if what runs has not been touched yet. Always succeeds, and sets BACK to what came of it.
roll_back() {
  BACK="the old configuration is back"
  if on_trial && ! sh "$TRIAL_DIR/roll-back" "$1" >&2; then
    BACK="the old configuration could not be put back yet, and this host tries again every 10 seconds; see the lines before this one, and \"journalctl -u '$TRIAL_UNIT*'\" there"
    arm 10 || :
    return 0
  fi
  disarm
}

# roll_back_and_fail SENTENCE HOW
roll_back_and_fail() {
  roll_back "$2"
  fail "$1; $BACK"
}
