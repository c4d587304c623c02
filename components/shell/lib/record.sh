# shellcheck shell=sh
# The record: what each resource has added to this host, a line "kind<TAB>value" for each thing, in
# /var/lib/ssh-reverse-tunnel/OWNER/RESOURCE. It is written before the thing itself, so nothing of ours is ever there
# unrecorded. At the end of an apply, and in a removal, sweep() undoes what is on record and was not asked for again, the
# latest first. So a removal is exact because it reads what was done, and a changed setting removes what it no longer wants.
# If that must wait for another script, keep_stale() makes a note instead, and settle() of the other script sweeps it.

RECORD=$STATE/$OWNER/$RESOURCE
# Whose records these are: the id of one Pulumi state, since another state may have a stack of the same name. The file
# exists as long as there are records; without an id, they belong to any stack of that name.
ID_FILE=$STATE/$OWNER/.stack-id
# Where this stack's tools are: see hostTools.sh.
TOOLS_FILE=$STATE/$OWNER/.tools
MARKED=$NL
NOTES=
# What is on record for this resource, and for all others: nobody else writes while we hold the lock.
RECORDED=$NL
OTHERS=$NL

# kind KIND FIELD… — says what an entry of that kind holds, next to its undo_KIND: the fields of its value, which have tabs
# between them. OUR_FILE and THEIR_FILE are files that put and rewrite write: a run that is killed leaves a temporary file
# beside them. KINDS has a line "KIND<TAB>NUMBER OF FIELDS<TAB>FIRST FIELD" for each kind.
KINDS=$NL
kind() { KINDS=$KINDS$1$TAB$(($# - 1))$TAB$2$NL; }

# find_kind KIND — sets FIELDS, the number of its fields at most, and FIRST_FIELD. A kind that nobody has declared has one
# field.
find_kind() {
  FIELDS=1 FIRST_FIELD=
  case $KINDS in
    *"$NL$1$TAB"*)
      FIRST_FIELD=${KINDS#*"$NL$1$TAB"}
      FIRST_FIELD=${FIRST_FIELD%%"$NL"*}
      FIELDS=${FIRST_FIELD%%"$TAB"*}
      FIRST_FIELD=${FIRST_FIELD#*"$TAB"}
      ;;
  esac
}

# use_record NAME — from now on, that is our record.
use_record() {
  RESOURCE=$1
  RECORD=$STATE/$OWNER/$1
  read_records
}

read_records() {
  RECORDED=$NL
  OTHERS=$NL
  [ -d "$STATE" ] || return 0
  refuse_foreign_records
  # A run that was killed while it wrote the record has left the new one. What it was to add is added again.
  [ ! -e "$RECORD.new" ] || rm -f -- "$RECORD.new" || cannot "remove $RECORD.new" "$RECORD.new"
  read_entries
  OTHERS=$NL$(find_records ! -path "$RECORD" -exec cat {} +)$NL
  clear_temporaries
}

# read_entries — sets RECORDED, and NOTES to its lines of the kind "noted", which are not things: see shell/drift/look.sh.
# They go with the first change, and are noted anew at the end of the apply.
read_entries() {
  local line all
  RECORDED=$NL NOTES=
  [ -f "$RECORD" ] || return 0
  all=$(cat -- "$RECORD")
  case $NL$all in *"${NL}noted$TAB"*) ;; *)
    RECORDED=$NL$all$NL
    return 0
    ;;
  esac
  while IFS= read -r line <&3; do
    case $line in "noted$TAB"*) NOTES=$NOTES$line$NL ;; *) RECORDED=$RECORDED$line$NL ;; esac
  done 3<<EOF
$all
EOF
}

drop_notes() {
  NOTES=
  write_record "$RECORDED"
}

# note_states — at the end of an apply with DRIFT in its header: puts what it has left on the record. Otherwise none of that
# stays there.
# shellcheck disable=SC2154,SC1091  # the loader has set tools; drift.sh is checked with the library
note_states() {
  local recorded
  if [ -n "${DRIFT+set}" ] && [ "$RECORDED" != "$NL" ] && [ -f "$tools/lib/drift.sh" ]; then
    . "$tools/lib/drift.sh"
    forget_states
    NOTES=$(states_of_record)$NL
    NOTES=${NOTES#"$NL"}
    # There may be nothing to say, for example of rules in a firewall that is off.
    : "${NOTES:=noted${TAB}nothing$NL}"
  elif [ -n "$NOTES" ]; then
    NOTES=
  else
    return 0
  fi
  recorded=$RECORDED
  write_record "$RECORDED$NOTES"
  RECORDED=$recorded NOTES=
}

# What is on record is undone as root, so nobody else may have written it.
refuse_foreign_records() {
  local foreign
  foreign=$(find "$STATE" \( ! -user "$SELF" -o -type l -o -type d -perm /077 -o -perm /022 ! -type l \) -print -quit)
  [ ! -L "$foreign" ] ||
    fail "$foreign is a link, and the records of what was done here are read only from folders and files that root owns; nothing was changed: put what it leads to in its place, and run it again"
  [ -z "$foreign" ] ||
    fail "somebody else than root may have written the records of what was done here, since $foreign is not root's alone ($(stat -c '%U, mode %a' -- "$foreign")); nothing was changed: look at what is in $STATE, then 'chown -R root:root $STATE && chmod -R go= $STATE', and run it again"
}

# find_records TEST… — all whole records, of every stack.
find_records() { find "$STATE" -mindepth 2 -type f ! -name '*.new' ! -name .stack-id ! -name .tools "$@"; }

has_records() { [ -n "$(find_records -path "$STATE/$OWNER/*")" ]; }

recorded() {
  case $RECORDED in *"$NL$1$TAB$2$NL"*) return 0 ;; esac
  return 1
}

recorded_elsewhere() {
  case $OTHERS in *"$NL$1$TAB$2$NL"*) return 0 ;; esac
  return 1
}

# The records other than ours that hold this entry, one path a line.
other_records_of() {
  find_records ! -path "$RECORD" -exec grep -lxF -- "$1$TAB$2" {} + || :
}

# check_stack_id VERB — ends the script if what is on record belongs to another state.
check_stack_id() {
  local others
  if [ -z "$STACK_ID" ] || [ ! -s "$ID_FILE" ] || [ "$(cat -- "$ID_FILE")" = "$STACK_ID" ]; then return 0; fi
  if ! has_records; then # it is of a run that was killed before its first one
    rm -f -- "$ID_FILE"
    return 0
  fi
  others="the things of the stack $OWNER on this host belong to another Pulumi state"
  [ "$1" != remove ] ||
    fail "$others, and nothing was removed; 'pulumi stack rm --force' makes this state forget them"
  fail "$others, and nothing was changed; choose another stack name, or, if that state is lost for good, remove $ID_FILE on the host and run 'pulumi up' again, which takes them over"
}

begin_apply() {
  local record mark
  for record in $RECORDS; do
    mark=/run/$OWNER.$record.later # of a removal that waits: see session.sh
    [ ! -e "$mark" ] || rm -f -- "$mark"
  done
  clear_overwritten # of a run that was killed
  BEFORE=$RECORDED
  [ "$RECORDED" = "$NL" ] || keep_stack_id
}

keep_stack_id() {
  [ -n "$STACK_ID" ] && [ ! -s "$ID_FILE" ] || return 0
  printf '%s\n' "$STACK_ID" >"$ID_FILE.new" && sync_file "$ID_FILE.new" && mv -f -- "$ID_FILE.new" "$ID_FILE" || {
    rm -f -- "$ID_FILE.new"
    cannot "write $ID_FILE" "$ID_FILE"
  }
}

# The last record takes the folder with it.
drop_empty_state() {
  if [ -d "$STATE" ] && ! has_records; then
    rm -f -- "$ID_FILE.new" "$ID_FILE"
    if [ "$VERB" = remove ] && takes_tools; then drop_tools; fi
    rmdir "$STATE/$OWNER" "$STATE" 2>/dev/null || :
  fi
}

# takes_tools — whether the tools go with the last record: if the admin comes through the tunnel, nobody can come later to
# remove them. Otherwise they stay until hostTools.sh, which replaces this function, is removed: another run may need them.
takes_tools() { grep -q '^until ' "$TOOLS_FILE" 2>/dev/null; }

drop_tools() {
  [ ! -f "$TOOLS_FILE" ] || mv -f -- "$TOOLS_FILE" "$TOOLS_FILE.new"
  [ -f "$TOOLS_FILE.new" ] || return 0
  each_tools_folder drop_unused_tools <"$TOOLS_FILE.new"
  rm -f -- "$TOOLS_FILE.new"
}

# each_tools_folder COMMAND <pointer — a stack's pointer to its tools has the line "FOLDER/HASH", then "folder FOLDER" for
# each earlier folder.
each_tools_folder() {
  local line
  while IFS= read -r line; do
    case $line in
      "folder "*) "$1" "${line#folder }" ;;
      /*) "$1" "${line%/*}" ;;
    esac
  done
}

# drop_unused_tools FOLDER — removes the tools in it that no stack uses any more, and what a run that was killed has
# unpacked.
drop_unused_tools() {
  local folder hash pid
  for folder in "$1"/* "$1"/.*; do
    # A hash, or ".HASH.PID" of the run that unpacked it. Other folders may belong to somebody else.
    hash=${folder##*/} pid=
    case $hash in
      .*.*)
        pid=${hash##*.}
        hash=${hash#.}
        hash=${hash%.*}
        ;;
    esac
    case $pid$hash in *[!0-9a-f]*) continue ;; esac
    [ "${#hash}" = 64 ] || continue
    [ -z "$pid" ] || [ ! -d "/proc/$pid" ] || continue
    grep -qxF -- "$folder" "$STATE"/*/.tools 2>/dev/null </dev/null || rm -rf -- "$folder"
  done
  rmdir -- "$1" 2>/dev/null || :
}

# own KIND VALUE — we add this, or have added it: it is undone when it is no longer asked for.
own() {
  own_fits "$1" "$2"
  MARKED="$MARKED$1$TAB$2$NL"
  ! recorded "$1" "$2" || return 0
  if [ -n "$TOGETHER" ]; then RECORDED=$RECORDED$1$TAB$2$NL; else write_record "$RECORDED$1$TAB$2$NL"; fi
}

# together COMMAND… — all that the command owns goes on record at once, since each write waits for the disk.
TOGETHER=
together() {
  local before
  before=$RECORDED
  TOGETHER=yes
  "$@"
  TOGETHER=
  [ "$RECORDED" = "$before" ] || write_record "$RECORDED"
}

# passing KIND VALUE — for what is on record no longer than a run: it is undone at the end of each, in keep_stale too, since
# a run that was killed may have left it.
PASSING=$NL
passing() { PASSING=$PASSING$1$TAB$2$NL; }

# own_fits KIND VALUE — ends the script for an entry that would take two lines, or that read would not give back as it was:
# a later run would undo what nobody did.
own_fits() {
  local rest
  find_kind "$1"
  rest=$2
  while [ "$FIELDS" -gt 1 ]; do
    rest=${rest#*"$TAB"}
    FIELDS=$((FIELDS - 1))
  done
  case $2 in
    *"$NL"* | *"$TAB") ;;
    *) case $rest in *"$TAB"*) ;; *) return 0 ;; esac ;;
  esac
  fail "'$2' ($1) has a newline or a tab in it, which the record of what was done cannot hold; choose another name"
}

# share KIND VALUE EXISTS — as own, for what several resources may need at once and the last one removes. What was there
# before any of us is left to its owner.
share() { ! ours "$@" || own "$1" "$2"; }

# ours KIND VALUE EXISTS — whether one of us has made, or will make, a thing that several resources may need.
ours() { [ "$3" != yes ] || recorded "$1" "$2" || recorded_elsewhere "$1" "$2"; }

# remember KIND KEY VALUE — as own, for the state of KEY before any of us changed it. VALUE is its state now, and goes on
# record only if none of us has put one there before.
remember() {
  recall "$1" "$2"
  own "$1" "$2$TAB${RECALLED:-$3}"
}

# recall KIND KEY — sets RECALLED to what one of us has remembered of it, or to nothing.
recall() {
  RECALLED=
  case $RECORDED$OTHERS in
    *"$NL$1$TAB$2$TAB"*)
      RECALLED=$(recorded_under "$RECORDED$OTHERS" "$1" "$2")
      RECALLED=${RECALLED%%"$NL"*}
      ;;
  esac
}

# recorded_under ENTRIES KIND KEY — what follows that key in each entry of that kind.
recorded_under() {
  printf '%s' "$1" | START=$2$TAB$3$TAB awk '
    index($0, ENVIRON["START"]) == 1 { print substr($0, length(ENVIRON["START"]) + 1) }'
}

# own_alone KIND VALUE EXISTS — as own, for what must not be there already unless it is ours.
own_alone() {
  local what other
  case $1 in user) what="the account $2" ;; *) what=$2 ;; esac
  if ! recorded "$1" "$2"; then
    if recorded_elsewhere "$1" "$2"; then
      other=$(other_records_of "$1" "$2" | head -n 1)
      case $other in
        "$STATE/$OWNER/"*) ;; # the same stack under another resource name: it was renamed
        *) fail "$what belongs to the stack $(basename "$(dirname "$other")"); choose another name" ;;
      esac
    elif [ "$3" = yes ]; then
      fail "$what exists already and is not ours; move it away, or choose another name"
    fi
  fi
  own "$1" "$2"
}

# write_record ENTRIES — the record after an entry was added or taken away; an empty one leaves no file and no folder.
write_record() {
  if [ "$1" = "$NL" ]; then
    rm -f -- "$RECORD.new" "$RECORD"
    drop_empty_state
  else
    if [ ! -d "$STATE/$OWNER" ]; then
      (umask 077 && mkdir -p "$STATE/$OWNER") || cannot "create $STATE/$OWNER" "$STATE/$OWNER"
    fi
    keep_stack_id
    printf '%s' "${1#"$NL"}" >"$RECORD.new" && sync_file "$RECORD.new" && mv -f -- "$RECORD.new" "$RECORD" ||
      cannot "write $RECORD" "$RECORD"
  fi
  RECORDED=$1
}

# forget KIND VALUE — for what has been undone. It goes from the record at the end of the sweep, or at the end of the script
# if that fails: each write waits for the disk, and undoing it once more, after a kill, does nothing.
FORGOTTEN=
forget() {
  local entry
  entry=$1$TAB$2$NL
  RECORDED=${RECORDED%%"$NL$entry"*}$NL${RECORDED#*"$NL$entry"}
  FORGOTTEN=yes
}

write_forgotten() {
  [ -n "$FORGOTTEN" ] || return 0
  FORGOTTEN=
  write_record "$RECORDED"
}

sweep() {
  local latest_first entry kind value
  latest_first=
  while IFS= read -r entry <&3; do latest_first=$entry$NL$latest_first; done 3<<EOF
$RECORDED
EOF
  while IFS=$TAB read -r kind value <&3; do
    [ -n "$kind" ] || continue
    case $MARKED in *"$NL$kind$TAB$value$NL"*) continue ;; esac
    if is_gone "$value"; then
      say "note: $HOST: ${value%%"$TAB"*} is left alone, since its account is gone"
    elif ! recorded_elsewhere "$kind" "$value"; then
      command -v "undo_$kind" >/dev/null ||
        fail "an entry of the kind '$kind' is on record for $WHAT, which another version of this project has written and this one cannot undo; run 'pulumi up' or 'pulumi destroy' with that version"
      "undo_$kind" "$value"
    fi
    forget "$kind" "$value"
  done 3<<EOF
$latest_first
EOF
  write_forgotten
  # A run that was killed right after it made the folders has left them empty.
  [ "$RECORDED" != "$NL" ] || [ ! -d "$STATE/$OWNER" ] || write_record "$NL"
  # What must happen once, after all is undone.
  units_after_sweep
  sshd_after_sweep
}

# keep_stale BEFORE — in place of sweep, if another script must first prove what replaces the stale entries of those BEFORE.
# Each gets a line "stale<TAB>kind<TAB>value". These lines come first in the record, so they are the last to go: a sweep that
# fails in between still knows the rest. What only this run needed goes now. The token, a new one each time, is for the script
# that settles this record: Pulumi then runs it, even if its settings are again what they were.
keep_stale() {
  local wanted entry stale all
  wanted=$MARKED
  while IFS= read -r entry <&3; do
    case $PASSING in *"$NL$entry$NL"*) continue ;; esac
    [ "$STALE" = keep ] || is_renamed "$entry" || continue
    MARKED=$MARKED$entry$NL
  done 3<<EOF
$1
EOF
  sweep
  MARKED=$wanted
  stale=
  all=
  while IFS= read -r entry <&3; do
    case $entry in "" | "stale$TAB"*) continue ;; esac
    all=$all$entry$NL
    case $MARKED in *"$NL$entry$NL"*) ;; *) stale=${stale}stale$TAB$entry$NL ;; esac
  done 3<<EOF
$RECORDED
EOF
  [ "$NL$stale$all" = "$RECORDED" ] || write_record "$NL$stale$all"
  [ -z "$stale" ] || print_token
}

# What this apply wants under another name now, as entries on record begin up to a name, one a line. No name begins with a
# dot, and an account's own dots are doubled, so "a." is not the beginning of "a..b.nas".
RENAMED=
is_renamed() {
  local start
  while IFS= read -r start; do
    case $1 in "${start:-"$NL"}"[!.]*) return 0 ;; esac
  done <<EOF || fail "the shell cannot store what is renamed; make room in /tmp and run 'pulumi up' again"
$RENAMED
EOF
  return 1
}

# print_token — a new one, for a script that must then run.
print_token() { printf 'token %s\n' "$(cat /proc/sys/kernel/random/uuid)"; }

# settle — sweeps what is stale in the records that SETTLES names. It comes at the very end, since it leaves the last of
# them as our record. What is in KEPT stays, and stays stale.
KEPT=$NL
settle() {
  local record entry
  for record in $SETTLES; do
    use_record "$record"
    case $RECORDED in *"${NL}stale$TAB"*) ;; *) continue ;; esac
    MARKED=$NL
    while IFS= read -r entry <&3; do
      case $entry in "" | "stale$TAB"*) continue ;; esac
      case $RECORDED in
        *"${NL}stale$TAB$entry$NL"*)
          case $KEPT in *"$NL$entry$NL"*) MARKED=$MARKED${entry}${NL}stale$TAB$entry$NL ;; esac
          ;;
        *) MARKED=$MARKED$entry$NL ;;
      esac
    done 3<<EOF
$RECORDED
EOF
    sweep
    note_states
  done
}

# What is stale is an entry of another kind: see keep_stale.
kind stale KIND VALUE
undo_stale() { :; }
