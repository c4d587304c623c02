# shellcheck shell=sh
# Files and folders: compared before they are written, written beside the target and renamed, labelled for SELinux, and
# recorded.
#
# A PLACE is a path, "/etc/ssh/x", or a path below the home of an account, "~alice/.ssh/x". Whoever can rename a folder on
# the way to a file decides where its name leads, so root never takes a step there. Below a home, the account takes it;
# elsewhere, the first owner on the way down who is not root.

# as UID:GID COMMAND… — an account can stop its own processes, so there is a time limit. It can also read what they have
# open, so they get none of our lists and locks. The kernel has no use for CAP_NET_BROADCAST any more; since the account
# lacks it, ptrace(2) and pidfd_getfd(2) do not let it reach these processes. Otherwise it could keep their output open, and
# we would wait for that.
as() {
  local ids
  ids=$1
  shift
  case $ids in
    "$SELF":*) "$@" ;;
    *) as_other 60 "$ids" "$@" ;;
  esac
}

# as_other SECONDS UID:GID COMMAND…
# shellcheck disable=SC2086  # words
as_other() {
  local seconds ids
  seconds=$1 ids=$2
  shift 2
  look_for_apart
  timeout -s KILL "$seconds" setpriv --reuid "${ids%:*}" --regid "${ids#*:}" --init-groups $APART "$@" 3<&- 4<&- 5<&- 9<&-
}

# look_for_apart — sets APART, the options that keep such a process apart. It is empty if root itself lacks that capability,
# for example in a container.
APART=unknown
# shellcheck disable=SC2086  # words
look_for_apart() {
  [ "$APART" = unknown ] || return 0
  APART='--inh-caps +net_broadcast --ambient-caps +net_broadcast'
  setpriv $APART true 2>/dev/null || APART=
}

# What an account's own configuration has ssh run must get nothing of ours: no environment, no terminal, and not the
# capability that keeps it apart from the account. Nor any output of ours, since it could keep that open.
# shellcheck disable=SC2016
AS_TYPED='drop=$1 home=$2; shift 2; exec $drop setsid -w env -i PATH="$PATH" LC_ALL=C HOME="$home" "$@"'

# as_typed UID:GID HOME COMMAND… — as if somebody with that account had typed it.
as_typed() {
  local ids
  ids=$1
  shift
  look_for_apart
  as "$ids" sh -c "$AS_TYPED" sh "${APART:+setpriv --inh-caps -all --ambient-caps -all}" "$@"
}

# hear UID:GID HOME COMMAND… — the same, and sets HEARD to what it has said, which is in a file that has no name any more, and
# not in a pipe: what the account has it start may stay, with that open.
hear() {
  local file status
  file=$(mktemp /run/ssh-reverse-tunnel.XXXXXX)
  exec 3<>"$file"
  rm -f -- "$file"
  status=0
  (
    ulimit -f 2048 # of 512 bytes, or 1024 in bash
    as_typed "$@" >&3 2>&1 </dev/null
  ) || status=$?
  HEARD=$(head -c 65536 /dev/fd/3 | tr -d '\0\r')
  exec 3<&-
  return "$status"
}

FOUND=
# find_account ACCOUNT — sets FOUND_IDS, its "uid:gid", and FOUND_HOME.
find_account() {
  local entry
  [ "$1" != "$FOUND" ] || return 0
  entry=$(getent passwd "$1") || fail "there is no account '$1'; create it, or correct the settings"
  case $1 in *[!0-9]*) ;; *) fail "the account '$1' has a number as its name, which could also be a user ID; rename it" ;; esac
  entry=${entry#*:*:} # uid:gid:comment:home:shell
  FOUND_IDS=${entry%"${entry#*:*:}"}
  FOUND_IDS=${FOUND_IDS%:}
  entry=${entry#*:*:*:}
  FOUND_HOME=${entry%%:*}
  FOUND=$1
}

# find_home ACCOUNT — the same, and fails unless it has a home that can be used.
find_home() {
  find_account "$1"
  case $FOUND_HOME in
    "") fail "the account '$1' has no home; give it one, or correct the settings" ;;
    *[[:cntrl:]]*) fail "the home of '$1' has a control character in its name; rename it, or let another account do this" ;;
  esac
  [ -d "$FOUND_HOME" ] || fail "the home $FOUND_HOME of '$1' does not exist; create it, or correct the settings"
}

# locate PLACE — sets AT_PATH, and AT_IDS of whoever acts there.
locate() {
  case $1 in
    "~"*)
      locate_home "${1%%/*}"
      case $1 in */*) AT_PATH=$HOME_PATH/${1#*/} ;; *) AT_PATH=$HOME_PATH ;; esac
      AT_IDS=$HOME_IDS
      case ${1#*/} in */*) ;; *) [ -z "$HOME_IS_CLOSED" ] || AT_IDS=0:0 ;; esac
      ;;
    *)
      AT_PATH=$1
      dir_of "$1"
      find_keeper "$DIR"
      AT_IDS=$KEEPER
      ;;
  esac
  case $AT_IDS in "$SELF":*) ;; *) look_for_apart ;; esac
}

# locate_target PLACE — the same for the file that a link in that place leads to.
locate_target() {
  locate "$1"
  [ "${AT_IDS%:*}" = "$SELF" ] && [ -L "$AT_PATH" ] || return 0
  find_keeper "$AT_PATH"
  AT_IDS=$KEEPER
}

HOME_LOCATED=''
# locate_home "~ACCOUNT" — sets HOME_PATH, HOME_IDS, and HOME_IS_CLOSED if root keeps the home for itself.
locate_home() {
  local answer
  [ "$1" != "$HOME_LOCATED" ] || return 0
  find_home "${1#"~"}"
  HOME_PATH=$FOUND_HOME HOME_IDS=$FOUND_IDS
  find_keeper "$HOME_PATH"
  # In a home that root keeps for itself, for example that of a service, the account cannot make a folder, so root makes it.
  # If the account can, by its group or an ACL, it could replace what root makes there.
  HOME_IS_CLOSED=
  if [ "$KEEPER" = 0:0 ]; then
    answer=0
    as "$HOME_IDS" test -w "$HOME_PATH" || answer=$?
    refuse_no_answer "$1" "$answer"
    [ "$answer" = 0 ] || HOME_IS_CLOSED=yes
  fi
  HOME_LOCATED=$1
}

KEEPERS=$NL
# find_keeper PATH — sets KEEPER to the "uid:gid" of the first owner on the way to PATH who is not root, or to root's.
# Nobody else can change where the way leads up to there, so a way that exists in full is looked at only once. namei(1)
# lists the folders and links in the order in which the kernel follows them.
find_keeper() {
  local way owner whole mode whose rest
  case $KEEPERS in
    *"$NL$1$TAB"*)
      KEEPER=${KEEPERS#*"$NL$1$TAB"}
      KEEPER=${KEEPER%%"$NL"*}
      return 0
      ;;
  esac
  # It begins with "f: PATH", and lists as much as there is.
  way=$(namei -om -- "$1" 2>/dev/null) || :
  case $way in
    f:*"$NL"*) ;;
    *) fail "namei(1) does not say whose folders lead to $1; install util-linux and run 'pulumi up' again" ;;
  esac
  owner=
  whole=yes
  while read -r mode whose rest; do
    case "$mode $whose $rest" in
      [-dlbcps][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT][-rwxsStT]" "*)
        case $mode in [dl]*) [ "$whose" = "$SELF_NAME" ] || owner=$whose ;; esac
        case $owner$mode in d???????w[!tT]) owner="*" ;; esac
        ;;
      *" - No such file or directory") whole= ;;
      *) owner="?" ;;
    esac
    [ -z "$owner" ] || break
  done <<EOF || fail "the shell cannot store what namei(1) says about the way to $1; make room in /tmp and run 'pulumi up' again"
${way#*"$NL"}
EOF
  case $owner in
    "") KEEPER=$SELF:$SELF_GROUP ;;
    "?") fail "root may not look at a folder on the way to $1, where perhaps a file system of somebody else is mounted; unmount that and run 'pulumi up' again" ;;
    "*") fail "everyone may write in a folder on the way to $1, so root does not act there; remove that permission" ;;
    *)
      find_account "$owner"
      KEEPER=$FOUND_IDS
      ;;
  esac
  [ -z "$whole" ] || KEEPERS=$KEEPERS$1$TAB$KEEPER$NL
}

# After a wait, during which others may have changed accounts and folders.
forget_looks() { KEEPERS=$NL FOUND='' HOME_LOCATED=''; }

# at PLACE COMMAND… — runs it as whoever acts there, with the path as its last argument.
at() {
  locate "$1"
  shift
  as "$AT_IDS" "$@" "$AT_PATH"
}

# made_at PLACE — prints when that file was written, in seconds; fails if nobody knows. Its account answers, so only digits count.
made_at() {
  local made
  made=$(at "$1" stat -c %Y -- 2>/dev/null) || return 1
  case $made in "" | *[!0-9]*) return 1 ;; esac
  printf '%s\n' "$made"
}

# ask PLACE COMMAND… — as at, for a question. Only status 1 means no: if the account ran out of time, or nothing could be
# started, nobody knows, and what is there must not be taken for absent.
ask() {
  local answer
  answer=0
  at "$@" || answer=$?
  refuse_no_answer "$1" "$answer"
  return "$answer"
}

# refuse_no_answer PLACE STATUS
refuse_no_answer() { [ "$2" -le 1 ] || fail_no_answer "$@"; }

fail_no_answer() {
  fail "whoever acts at $1 could not look there (status $2); see the lines before this one, end what blocks it, and run 'pulumi up' again"
}

# is_there PLACE — a link that leads nowhere counts too.
# shellcheck disable=SC2016
is_there() {
  locate "$1"
  case $AT_IDS in
    "$SELF":*) [ -e "$AT_PATH" ] || [ -L "$AT_PATH" ] ;;
    *) ask "$1" sh -c '[ -e "$1" ] || [ -L "$1" ]' sh ;;
  esac
}

# look_for PLACE — sets THERE to yes, or to nothing.
look_for() {
  THERE=
  ! is_there "$1" || THERE=yes
}

# is_behind_link PLACE — whether a folder on the way to it, below a home, is a link. Our files, or a removal, would end up
# elsewhere.
is_behind_link() {
  local folder answer
  case $1 in "~"*) ;; *) return 1 ;; esac
  locate "$1"
  folder=${1#*/}
  case $folder in */*) folder=${folder%/*} ;; *) folder= ;; esac
  answer=0
  # shellcheck disable=SC2016
  as "$HOME_IDS" sh -c 'home=$(readlink -f -- "$1") && [ "$(readlink -f -- "$1/$2")" = "$home${2:+/$2}" ]' sh \
    "$HOME_PATH" "$folder" || answer=$?
  refuse_no_answer "$1" "$answer"
  [ "$answer" = 1 ]
}

# is_gone PLACE — whether it is below the home of an account that no longer exists.
is_gone() {
  local account
  case $1 in
    "~"*)
      account=${1#"~"}
      account=${account%%/*}
      [ "$account" != "$FOUND" ] && ! getent passwd "$account" >/dev/null
      ;;
    *) return 1 ;;
  esac
}

# copy_as_account PATH COPY — copies the file as the account in AT_IDS reads it: whole, a regular file, and 8 MiB at most.
# If the account keeps the pipe open, the reader does not wait for it.
# shellcheck disable=SC2016
copy_as_account() {
  rm -f -- "$2.failed"
  {
    as "$AT_IDS" sh -c '[ -f "$1" ] && exec cat -- "$1"' sh "$1" || : >"$2.failed"
  } | timeout -s KILL 60 head -c 8388609 >"$2" || return 1
  [ ! -e "$2.failed" ] && [ "$(wc -c <"$2")" -le 8388608 ]
}

# time_of PLACE
time_of() {
  locate_target "$1"
  as "$AT_IDS" stat -Lc %y -- "$AT_PATH"
}

# cannot_at WHAT PLACE — as cannot, for what an account could not do.
# shellcheck disable=SC2016
cannot_at() {
  local why
  locate "$2"
  case $AT_IDS in "$SELF":*) cannot "$1" "$AT_PATH" ;; esac
  why=$(as "$AT_IDS" sh -c '
    dir=$1
    until [ -d "$dir" ]; do dir=$(dirname -- "$dir"); done
    if [ -L "$1" ]; then
      echo "it is a link to $(readlink -- "$1"), where $(id -un) may not write; make it a file of its own"
    elif [ -e "$1" ] && [ ! -O "$1" ]; then
      echo "it belongs to somebody else than its account, $(id -un); give it to that account"
    elif [ ! -w "$dir" ] && findmnt -nro OPTIONS -T "$dir" | grep -qE "(^|,)ro(,|$)"; then
      echo "the file system at $(df -P -- "$dir" | awk "END { print \$NF }") is read-only; make it writable"
    elif [ ! -w "$dir" ] || [ ! -x "$dir" ]; then
      echo "$(id -un) may not write in $dir; give the folder to that account"
    elif [ "$(df -P -- "$dir" | awk "END { print \$4 }")" = 0 ] || [ "$(df -Pi -- "$dir" | awk "END { print \$4 }")" = 0 ]; then
      echo "the disk at $(df -P -- "$dir" | awk "END { print \$NF }") is full; make room"
    fi' sh "$AT_PATH" 2>/dev/null) || :
  [ -z "$why" ] || fail "cannot $1: $why and run 'pulumi up' again"
  fail "cannot $1; see the lines before this one"
}

# label PLACE — SELinux gives a new file the label of its folder, which is not always the one that the policy wants there.
# restorecon and semanage run in domains of their own, which may have neither the lock open nor what is read just now.
label() {
  selinux_is_enabled || return 0
  locate "$1"
  as "$AT_IDS" restorecon -- "$AT_PATH" </dev/null 3<&- 4<&- 5<&- 9<&- || warn "restorecon could not label $1"
}

selinux_is_enabled() {
  [ -n "$SELINUX" ] || if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then SELINUX=yes; else SELINUX=no; fi
  [ "$SELINUX" = yes ]
}
SELINUX=

# make_dir PLACE MODE — one level; its parent must exist.
make_dir() {
  if ask "$1" test -d; then
    share dir "$1" yes
    ! recorded dir "$1" || keep_rights "$1" "$2"
    return 0
  fi
  share dir "$1" no
  at "$1" mkdir -m "$2" -- || cannot_at "create the folder $1" "$1"
  label "$1"
  changed "created the folder $1"
}

# keep_rights PLACE MODE — gives these rights back to a file or folder of ours, as whoever it belongs to. Only root can give
# itself what belongs to somebody else now. A folder has further bits from the one that it is in.
# shellcheck disable=SC2016
keep_rights() {
  local answer ids
  locate "$1"
  ids=$AT_IDS
  case $1 in "~"*) ids=$HOME_IDS ;; esac
  answer=0
  as "$ids" sh -c '
    [ ! -L "$1" ] || exit 0 # whoever writes there says what is wrong with that
    case $(stat -c %a -- "$1") in "$2" | ?"$2") [ ! -O "$1" ] || exit 0 ;; esac
    [ -O "$1" ] || { [ "$(id -u)" = 0 ] && chown -h 0:0 -- "$1"; } || exit 9
    chmod "$2" -- "$1" && exit 10' sh "$AT_PATH" "$2" || answer=$?
  case $answer in
    0) ;;
    10)
      forget_looks
      changed "gave $1 its mode $2 and its owner back"
      ;;
    *) cannot_at "change the mode of $1" "$1" ;;
  esac
}

# make_dirs PATH — makes it and all folders above it, readable by everyone.
make_dirs() {
  local parent
  dir_of "$1"
  parent=$DIR
  if ! ask "$parent" test -d || recorded dir "$parent" || recorded_elsewhere dir "$parent"; then
    make_dirs "$parent"
  fi
  make_dir "$1" 755
}

# put PLACE MODE <content — for a file that is wholly ours: writes it beside the target, and renames it.
put() { write_beside "$1" "$2" ours ''; }

# rewrite PLACE MODE [TIME] <content — for somebody else's file: it keeps its mode, owner and attributes, and stays a link
# if it is one. MODE is for a file that is not there yet.
rewrite() { write_beside "$1" "$2" theirs "${3-}"; }

# Shell text that sets $file and, for what is written first, $new; clear_new removes that. Its name is always the same, so a
# run that was killed leaves nothing that the next one does not remove. Ends with 9 if a link leads to a place where the
# account may not look.
# shellcheck disable=SC2016
BESIDE='
  file=$1
  [ "$2" = ours ] || [ ! -L "$file" ] || file=$(readlink -f -- "$file") || exit 9
  new=${file%/*}/.${file##*/}.ssh-reverse-tunnel
  clear_new() { [ ! -e "$new" ] && [ ! -L "$new" ] || rm -f -- "$new"; }'

# The account's own shell does the redirections, since this one would open the file as root. After a power cut the file is
# the old one or the new one, hence the sync.
# shellcheck disable=SC2016
write_beside() {
  if [ "$3" = theirs ]; then locate_target "$1"; else locate "$1"; fi
  as "$AT_IDS" sh -c "$BESIDE"'
    umask 077
    mode=$3
    clear_new &&
      if [ "$2" = theirs ] && [ -f "$file" ]; then
        { [ -O "$file" ] || [ "$(id -u)" = 0 ]; } && cp -a -- "$file" "$new" && mode=$(stat -c %a -- "$new") && chmod u+w -- "$new"
      else
        : >"$new"
      fi &&
      cat >"$new" && chmod "$mode" -- "$new" &&
      { [ -z "$4" ] || touch -d "$4" -- "$new" 2>/dev/null || :; } &&
      { sync -- "$new" 2>/dev/null || sync; } &&
      mv -fT -- "$new" "$file" && exit 0
    rm -f -- "$new"
    exit 1' sh "$AT_PATH" "$3" "$2" "$4" || cannot_at "write $1" "$1"
  label "$1"
}

# A run that was killed may have left a temporary file beside a file on its record.
# shellcheck disable=SC2016
clear_temporaries() {
  local kind place whose
  while IFS=$TAB read -r kind place <&3; do
    find_kind "$kind"
    case $FIRST_FIELD in
      OUR_FILE) whose=ours ;;
      THEIR_FILE) whose=theirs ;;
      *) continue ;;
    esac
    place=${place%%"$TAB"*}
    ! is_gone "$place" || continue
    locate_target "$place"
    as "$AT_IDS" sh -c "$BESIDE"'
    clear_new' sh "$AT_PATH" "$whose" || [ $? = 9 ] || cannot_at "remove the temporary file of $place" "$place"
  done 3<<EOF
$RECORDED
EOF
}

# write_file PLACE MODE CONTENT — for a file that is wholly ours. Sets WRITTEN to yes if it changed.
write_file() {
  compare "$@"
  own_alone file "$1" "${THERE:+yes}"
  write_content "$@"
}

# write_shared PLACE MODE CONTENT — the same, for a file that several resources and stacks share: the last of them removes
# it.
write_shared() {
  compare "$@"
  ours file "$1" "${THERE:+yes}" ||
    fail "$1 exists already and is not ours; move it away and run 'pulumi up' again"
  own file "$1"
  write_content "$@"
}

# What this apply has overwritten of ours: a line "NUMBER<TAB>MODE<TAB>PLACE" for each in "list", and a copy under each
# number.
OVERWRITTEN=/run/$OWNER.$RESOURCE.overwritten
OVERWRITTEN_COUNT=0

# keep_overwritten PLACE — keeps a copy of what is there now, if it can be read: see take_back.
keep_overwritten() {
  local mode
  [ -n "$BEFORE" ] || return 0
  locate "$1"
  mode=$(as "$AT_IDS" stat -c %a -- "$AT_PATH" 2>/dev/null) || return 0
  case $mode in '' | *[!0-7]* | ?????*) return 0 ;; esac
  [ -d "$OVERWRITTEN" ] || mkdir -m 700 -- "$OVERWRITTEN" || cannot "create $OVERWRITTEN" "$OVERWRITTEN"
  OVERWRITTEN_COUNT=$((OVERWRITTEN_COUNT + 1))
  copy_as_account "$AT_PATH" "$OVERWRITTEN/$OVERWRITTEN_COUNT" 2>/dev/null || return 0
  printf '%s\t%s\t%s\n' "$OVERWRITTEN_COUNT" "$mode" "$1" >>"$OVERWRITTEN/list"
}

# restore_overwritten — the latest comes first.
restore_overwritten() {
  local units number mode place
  [ -f "$OVERWRITTEN/list" ] || return 0
  units=
  while IFS=$TAB read -r number mode place <&3; do
    (put "$place" "$mode" <"$OVERWRITTEN/$number") || continue # put has said why
    changed "restored $place"
    case $place in "$UNIT_DIR/"*) units=yes ;; esac
  done 3<<EOF
$(sort -rn -- "$OVERWRITTEN/list")
EOF
  [ -z "$units" ] || systemctl daemon-reload
}

clear_overwritten() { [ -z "$LOCKED" ] || [ ! -d "$OVERWRITTEN" ] || rm -rf -- "$OVERWRITTEN"; }

# write_content PLACE MODE CONTENT — after compare. Sets WRITTEN to yes if the content changed.
write_content() {
  WRITTEN=
  [ "$THERE" != same ] || return 0
  [ "$THERE" != other ] || keep_overwritten "$1"
  put "$1" "$2" <<EOF || cannot_at "write $1" "$1"
$3
EOF
  # What has read it may go on.
  # shellcheck disable=SC2034  # for the script that called
  [ "$THERE" = loose ] || WRITTEN=yes
  changed "wrote $1"
}

# compare PLACE MODE CONTENT — sets THERE to "same" if that is there already, to "loose" if only its mode or its owner differs,
# to "other" if something else is, or to nothing.
# shellcheck disable=SC2016
compare() {
  local answer
  locate "$1"
  answer=0
  as "$AT_IDS" sh -c '
    [ -e "$1" ] || [ -L "$1" ] || exit 11
    [ -f "$1" ] && [ ! -L "$1" ] && [ -r "$1" ] || exit 10
    mode=$(stat -c %a -- "$1") || exit 2
    cmp -s - "$1" || { [ $? = 1 ] && exit 10 || exit 2; }
    [ "$mode" = "$2" ] && [ -O "$1" ] || exit 12' sh "$AT_PATH" "$2" <<EOF || answer=$?
$3
EOF
  case $answer in
    0) THERE=same ;;
    10) THERE=other ;;
    11) THERE= ;;
    12) THERE=loose ;;
    *) fail_no_answer "$1" "$answer" ;; # 1 is that of a shell that has no room in /tmp for the content
  esac
}

kind dir PLACE
undo_dir() {
  ask "$1" test -d || return 0
  if ! is_behind_link "$1" && at "$1" rmdir -- 2>/dev/null; then
    changed "removed the folder $1"
  else
    say "note: $HOST: the folder $1 stays, since there is more in it than we wrote"
  fi
}

kind file OUR_FILE
undo_file() {
  is_there "$1" || return 0
  if is_behind_link "$1"; then
    warn "$1 stays, since a folder on the way to it is a link now; remove it by hand"
    return 0
  fi
  at "$1" rm -f -- || fail "cannot remove $1; see the lines before this one"
  changed "removed $1"
}
