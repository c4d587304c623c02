# shellcheck shell=sh
# What every script of the project begins with: messages, the lock, and the two verbs.
#
# What travels on standard input is a header of NAME='value' lines, of which these are always there, and the loader:
#   HOST      the host as its user knows it, "gate (198.18.0.2)": every message begins with it
#   OWNER     the project and stack that this belongs to, "ssh-reverse-tunnel-dev"
#   STACK_ID  the Pulumi state that this belongs to; may be empty
#   RESOURCE  the name of the resource within the stack, unique there
#   WHAT      what this script takes care of, for messages
#   PARTS     what an apply applies, in this order: for each, the function values_1, values_2, … sets its variables, and
#             parts/<part>.sh among the host's tools defines its apply()
#   TEXTS     VARIABLE=program, for the texts of programs that a part puts somewhere; the functions set theirs
#
# and, where a stage of a tunnel needs them:
#   STALE     keep: an apply leaves what is on record and no longer wanted, for another script to sweep (keep_stale);
#             renamed: only what it wants under another name now
#   SETTLES   the records that an apply sweeps after its own: what is stale there
#   TOKENS    a hash of what the scripts of those records have printed; only so that this one runs again
#   RECORDS   the records that a removal undoes, in this order; RESOURCE by default
#   SERVES    yes, or a port, where other stacks may need what it removes: see refuse_while_serving
#   DRIFT     where the stack looks for drift, and then the apply notes what it leaves; another value runs it again
#
# A removal reads nothing of what the parts were given, since its header may be as old as the thing: it undoes what is on
# record.

STATE=/var/lib/ssh-reverse-tunnel
VERB=
STALE=${STALE-}
SETTLES=${SETTLES-}
RECORDS=${RECORDS-$RESOURCE}
# Who we are, from "uid=0(root) gid=0(root) …". sudo may pass on a short PATH, and main sets it only later.
self=$(PATH=/usr/bin:/bin && id)
SELF=${self#uid=} SELF_GROUP=${self#* gid=} SELF_NAME=${self%% *}
SELF=${SELF%%[!0-9]*} SELF_GROUP=${SELF_GROUP%%[!0-9]*} SELF_NAME=${SELF_NAME#*"("}
SELF_NAME=${SELF_NAME%")"}
CHANGED=
# What was on record before an apply.
BEFORE=
# Whether something waits for the end of this session.
LATER=

# cannot WHAT PATH — ends the script and says what keeps us from writing there.
cannot() {
  local dir disk
  dir=$2
  until [ -d "$dir" ]; do
    dir_of "$dir"
    dir=$DIR
  done
  disk=$(df -P -- "$dir" | awk 'END { print $NF }')
  if [ ! -w "$dir" ]; then
    case ,$(findmnt -nro OPTIONS -T "$dir" 2>/dev/null), in
      *,ro,*) fail "cannot $1: the file system at $disk is read-only; make it writable and run 'pulumi up' again" ;;
    esac
    fail "cannot $1: root may not write in $dir; allow that and run 'pulumi up' again"
  elif [ "$(df -P -- "$dir" | awk 'END { print $4 }')" = 0 ] || [ "$(df -Pi -- "$dir" | awk 'END { print $4 }')" = 0 ]; then
    fail "cannot $1: the disk at $disk is full; make room and run 'pulumi up' again"
  fi
  fail "cannot $1; see the lines before this one"
}

# An error that we did not foresee must not end in silence. And Pulumi does not know what a failed apply has done: it
# forgets a new resource, and goes on with the old settings of another. So this undoes it now, or nobody ever would.
at_exit() {
  local status=$?
  trap - EXIT
  case $status in
    0 | 3 | "$CONFIRM_AGAIN" | "$TUNNEL_RESTARTS") ;;
    *) say "error: $HOST: the script for $WHAT stopped unexpectedly (status $status); run 'pulumi up' again, which goes on from here" ;;
  esac
  # In a subshell: even if this fails too, the lock must go.
  [ "$status" = 0 ] || (write_forgotten) || :
  if [ "$status" != 0 ] && [ -n "$BEFORE" ] && [ -n "$LOCKED" ]; then take_back; fi
  clear_overwritten
  clear_work
  unlock
  [ "$LATER" = yes ] || end_connection eval
  exit "$status"
}

# take_back — undoes what this apply has added or rewritten. A change on trial has a rollback, which may need it.
take_back() {
  local step
  [ "$BEFORE" = "$NL" ] || ! on_trial || return 0
  set +e
  # Each by itself, so that one that fails does not stop the others, and set -e holds in it; a subshell has no traps.
  for step in restore_replaced restore_overwritten sweep_added; do
    (
      trap : PIPE
      set -e
      "$step"
    )
  done
}

sweep_added() {
  read_records # which may hold less than what we know: see together
  MARKED=$BEFORE
  sweep
  drop_empty_state
}

# dir_of PATH — sets DIR. Scripts would start dirname(1) hundreds of times.
dir_of() {
  case $1 in
    */*) DIR=${1%/*} ;;
    *) DIR=. ;;
  esac
  DIR=${DIR:-/}
}

changed() {
  CHANGED=yes
  [ -z "$NOTES" ] || drop_notes
  say "changed: $HOST: $*"
}

# sync_file PATH… — returns when these files and folders would survive a power cut. A sync that takes no names syncs the
# whole machine.
sync_file() { sync -- "$@" 2>/dev/null || sync; }

# Only one script of ours at a time changes this host, whatever stack it comes from. The lock is on a file that only root
# can open, in a folder that only root can write in: whoever can open a file can hold its lock. The file says who holds the
# lock, and is removed with it; the lock of a run that was killed is taken over.
LOCK_FILE=/run/ssh-reverse-tunnel.lock
LOCKED=
# For so many seconds the same run may hold it, and for so many what a run that was killed has left behind.
LOCK_PATIENCE=600
LOCK_PATIENCE_DEAD=5

lock() {
  local begin next now pid
  need_cmd flock util-linux
  HOLDER=
  look_at_clock
  begin=$UPTIME
  next=$((begin + 2))
  try_lock 0 || {
    hold_trial
    HELD_SINCE=$begin
    until try_lock 1; do
      look_at_clock
      now=$UPTIME
      watch_holder
      # All scripts of a host run one after the other: that takes as long as it takes, provided that it goes on.
      [ "$now" -lt "$next" ] || {
        say "note: $HOST: $WHAT waits for another run$(holder_in_words)"
        hold_trial
        next=$((now + 60))
      }
    done
  }
  LOCKED=yes
  read -r pid _ </proc/self/stat # of a subshell, too
  : >"$LOCK_FILE"
  look_at_clock
  printf '%s\t%s\t%s\t%s\t%s\n' "$pid" "$UPTIME" "$OWNER" "$RESOURCE" "$WHAT" >&9
}

# try_lock SECONDS — a holder removes the file when it ends, so what we have waited for may be a file that is gone.
try_lock() {
  umask 077
  # Not ":", whose redirection would end the shell.
  true 2>/dev/null >>"$LOCK_FILE" || cannot "write $LOCK_FILE" "$LOCK_FILE"
  exec 9<>"$LOCK_FILE" # its holder may take it away at any moment, and it is made anew
  umask 022
  flock -w "$1" 9 || return 1
  # shellcheck disable=SC3013  # POSIX.1-2024 has -ef, and so do dash, bash and busybox
  [ /proc/self/fd/9 -ef "$LOCK_FILE" ] || try_lock "$1"
}

unlock() {
  [ -n "$LOCKED" ] || return 0
  rm -f -- "$LOCK_FILE"
  exec 9>&- # who waits has this very file open
  LOCKED=
}

# look_at_clock — sets UPTIME, in seconds, whatever the clock says.
look_at_clock() {
  read -r UPTIME _ </proc/uptime
  UPTIME=${UPTIME%%.*}
}

# watch_holder — ends the script if there is nothing to wait for. Sets HOLDER, the line that the holder has written,
# HOLDER_PID and so on, what is in it, and HELD_SINCE, which starts anew whenever another run has the lock.
watch_holder() {
  local line
  line=$(head -n 1 -- "$LOCK_FILE" 2>/dev/null) || :
  # A new holder has not written its name yet.
  [ -n "$line" ] || return 0
  if [ "$line" != "$HOLDER" ]; then
    HOLDER=$line
    HELD_SINCE=$UPTIME
    IFS=$TAB read -r HOLDER_PID HOLDER_SINCE HOLDER_OWNER HOLDER_RESOURCE HOLDER_WHAT <<EOT
$line
EOT
    [ "$HOLDER_SINCE" -le "$UPTIME" ] 2>/dev/null || HOLDER_SINCE=$UPTIME
    HOLDER_ALIVE=$UPTIME
  fi
  [ ! -d "/proc/$HOLDER_PID" ] || HOLDER_ALIVE=$UPTIME
  [ $((UPTIME - HOLDER_ALIVE)) -lt "$LOCK_PATIENCE_DEAD" ] ||
    fail "another run$(holder_in_words) was killed, and what it had started still runs$(heirs); wait until that has ended, or end it, and run 'pulumi up' again"
  [ $((UPTIME - HELD_SINCE)) -lt "$LOCK_PATIENCE" ] ||
    fail "another run$(holder_in_words) has been changing this host for $(((UPTIME - HOLDER_SINCE) / 60)) minutes; wait for it, or end it with 'kill $HOLDER_PID' there, and run 'pulumi up' again"
}

holder_in_words() { [ -z "$HOLDER" ] || printf ' (%s, stack %s, pid %s)' "$HOLDER_WHAT" "$HOLDER_OWNER" "$HOLDER_PID"; }

# ": apt-get (pid 12), …" — the processes that have the lock from a run that is gone: the kernel lists it for each that has
# it open.
heirs() {
  local inode file pid name
  inode=$(stat -c %i -- "$LOCK_FILE")
  grep -lE "^lock:.* FLOCK .*:$inode 0 EOF" /proc/[0-9]*/fdinfo/9 2>/dev/null | while read -r file; do
    pid=${file#/proc/}
    pid=${pid%%/*}
    name=$(tr -c 'A-Za-z0-9_.+\n-' '?' <"/proc/$pid/comm")
    printf ', %s (pid %s)' "$name" "$pid"
  done | sed 's/^,/:/'
}

main() {
  # Nothing that runs from here may swallow the rest of the script from standard input.
  exec </dev/null
  # The admin's home may be one that root may not enter, for example on NFS, and find(1) fails there.
  cd /
  # sudo may pass on a short PATH, and messages are compared in English.
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  LC_ALL=C
  export PATH LC_ALL
  umask 022
  trap at_exit EXIT
  trap : PIPE # nobody may hear us any more: after_apply finds out
  set -eu
  VERB=${1-}
  [ "$VERB" != look ] || look_for_drift
  lock
  check_stack_id "$VERB"
  read_records
  clear_trial "$VERB"
  case $VERB in
    apply)
      begin_apply
      apply_parts
      [ -z "$WAITS_FOR" ] || wait_unlocked
      after_apply
      [ -z "$CHECKS_LAST" ] || check_last
      ;;
    remove)
      [ -z "${SERVES-}" ] || refuse_while_serving
      if comes_through_recorded; then
        remove_when_session_ends
        CHANGED=yes LATER=yes
        say "note: $HOST: this session comes through the tunnel that is removed; $WHAT goes as soon as it has ended (see 'journalctl -t ssh-reverse-tunnel' there)"
      else
        remove_records
      fi
      ;;
    *) fail "the script was called with '$VERB'; it knows apply and remove" ;;
  esac
  [ -n "$CHANGED" ] || say "unchanged: $HOST: $WHAT"
}

# shellcheck disable=SC1091,SC2154  # the loader has set tools; drift.sh is checked with the library
look_for_drift() {
  trap - EXIT
  [ -f "$tools/lib/drift.sh" ] || {
    echo unable
    exit 0
  }
  . "$tools/lib/drift.sh"
  look
  exit 0
}

# shellcheck disable=SC1090,SC2153,SC2154  # each is checked as a part; the loader has set tools
apply_parts() {
  local number part
  read_texts
  number=0
  for part in $PARTS; do
    number=$((number + 1))
    "values_$number"
    read_texts
    . "$tools/parts/$part.sh"
    apply
  done
}

read_texts() {
  local text
  for text in $TEXTS; do
    eval "${text%%=*}=\$(cat -- \"\$tools/bin/\${text#*=}\")"
  done
}

after_apply() {
  local before
  session_is_alive || fail "the connection that this came over has been cut, so nobody would hear of what it has done, which is taken back; run 'pulumi up' again"
  [ "$SWEEP" = yes ] || return 0
  if [ "$STALE" = keep ]; then
    keep_stale "$BEFORE"
  else
    # What has been proven stays, even if something stale cannot be removed.
    before=$BEFORE
    [ "$BEFORE" = "$NL" ] || BEFORE=
    if [ "$STALE" = renamed ]; then keep_stale "$before"; else sweep; fi
  fi
  note_states
  BEFORE= # the other records are not of this apply
  [ "$STALE" = keep ] || settle
}

remove_records() {
  local record
  for record in $RECORDS; do remove_record "$record"; done
}

remove_record() {
  use_record "$1"
  sweep
}

# A part that waits for something adds a command to WAITS_FOR. They run after all parts, and without the lock, so others may
# change the host meanwhile. What is stale stays until they have succeeded. If one fails, what was written stays: earlier
# stages have proven it. Not for a stage that keeps what is stale (STALE): it would no longer know what that is.
WAITS_FOR=
wait_unlocked() {
  local recorded wait
  recorded=$RECORDED
  release
  for wait in $WAITS_FOR; do "$wait"; done
  lock
  forget_looks
  BEFORE=
  read_records
  [ "$RECORDED" = "$recorded" ] || fail "another run has changed $WHAT meanwhile; run 'pulumi up' again"
}

# Another run may then begin, so nothing that both use may be cleared later.
release() {
  clear_work
  clear_overwritten
  unlock
}

# A part that others could make fail adds a command to CHECKS_LAST. They run at the very end, without the lock, when what is
# stale has been swept: an account that breaks its own login must not keep somebody else's.
CHECKS_LAST=
check_last() {
  local check
  release
  for check in $CHECKS_LAST; do "$check"; done
}

# A change on trial may have to be taken back, which needs what is stale: the run that confirms it sweeps.
SWEEP=yes
