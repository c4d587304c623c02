# shellcheck shell=sh
# Files and folders: compared before they are written, written beside the target and renamed, labelled for
# SELinux, and recorded. Inside a folder that an account owns we act as that account: root that writes where
# somebody else may place links can be led astray.

# as UID:GID COMMAND…
as() {
  as_ids=$1
  shift
  case $as_ids in
    0:*) "$@" ;;
    *) setpriv --reuid "${as_ids%:*}" --regid "${as_ids#*:}" --init-groups "$@" ;;
  esac
}

ids_of_user() {
  id -u "$1" >/dev/null 2>&1 || fail "there is no account '$1'; create it, or correct the settings"
  printf '%s:%s' "$(id -u "$1")" "$(id -g "$1")"
}

home_of_user() {
  hu_home=$(getent passwd "$1" | cut -d: -f6)
  [ -n "$hu_home" ] || fail "there is no account '$1', or it has no home; create it, or correct the settings"
  case $hu_home in
    *[[:cntrl:]]*) fail "the home of '$1' has a control character in its name; rename it, or let another account do this" ;;
  esac
  [ -d "$hu_home" ] || fail "the home $hu_home of '$1' does not exist; create it, or correct the settings"
  printf '%s' "$hu_home"
}

time_of() { stat -c %y -- "$1"; }

owner_of() { stat -c '%u:%g' -- "$1"; }

# SELinux gives a new file its folder's label, which is not always the one that the policy wants there.
label() {
  if command -v selinuxenabled >/dev/null 2>&1 && selinuxenabled; then
    restorecon -- "$1" || warn "restorecon could not label $1"
  fi
}

# make_dir PATH MODE UID:GID — one level; its parent must exist.
make_dir() {
  if [ -d "$1" ]; then
    share dir "$1" yes
    ! recorded dir "$1" || own_dir "$1" "$3"
    return 0
  fi
  share dir "$1" no
  md_parent=$(owner_of "$(dirname "$1")")
  if [ "${md_parent%:*}" = 0 ]; then
    mkdir -m "$2" -- "$1" && chown "$3" -- "$1"
  else
    as "$md_parent" mkdir -m "$2" -- "$1"
  fi || cannot "create the folder $1" "$1"
  label "$1"
  changed "created the folder $1"
}

# own_dir PATH UID:GID — a run that was killed right after it made the folder has left it to root.
own_dir() {
  case $2 in 0:*) return 0 ;; esac
  case $(owner_of "$1") in 0:*) ;; *) return 0 ;; esac
  chown -h "$2" -- "$1" || cannot "change the owner of $1" "$1"
  changed "gave the folder $1 to its account"
}

# make_dirs PATH — a folder of root's and all above it, readable by everyone.
make_dirs() {
  mds_parent=$(dirname "$1")
  if [ ! -d "$mds_parent" ] || recorded dir "$mds_parent" || recorded_elsewhere dir "$mds_parent"; then
    make_dirs "$mds_parent"
  fi
  make_dir "$1" 755 0:0
}

# put PATH MODE UID:GID [TIME] <content — writes and renames; an existing file keeps mode, owner and attributes.
# The temporary name is always the same, so that a run that was killed leaves nothing that the next does not clear.
# Redirections are in a shell of that account, since this shell's own would open the file as root.
# shellcheck disable=SC2016
put() {
  pu_dir=$(owner_of "$(dirname "$1")")
  pu_new=$(temporary_of "$1")
  as "$pu_dir" rm -f -- "$pu_new" &&
    if [ -e "$1" ]; then
      pu_ids=$(owner_of "$1")
      as "$pu_dir" cp -a -- "$1" "$pu_new"
    else
      pu_ids=$3
      as "$pu_dir" sh -c 'umask 077 && : >"$1" && chmod "$2" "$1"' sh "$pu_new" "$2"
    fi &&
    as "$pu_dir" sh -c 'cat >"$1"' sh "$pu_new" &&
    { [ -z "${4-}" ] || as "$pu_dir" touch -d "$4" -- "$pu_new" 2>/dev/null || :; } &&
    { [ "$(owner_of "$pu_new")" = "$pu_ids" ] || chown -h "$pu_ids" -- "$pu_new"; } &&
    as "$pu_dir" mv -f -- "$pu_new" "$1" || {
    as "$pu_dir" rm -f -- "$pu_new" || :
    cannot "write $1" "$1"
  }
  label "$1"
}

temporary_of() { printf '%s/.%s.ssh-reverse-tunnel' "${1%/*}" "${1##*/}"; }

# A run that was killed may have left what it was writing, beside a file on its record.
clear_temporaries() {
  while IFS=$TAB read -r ct_kind ct_path <&3; do
    case $ct_kind in
      file | line | drop_in) ;;
      newline) ct_path=${ct_path#* } ;;
      *) continue ;;
    esac
    ct_new=$(temporary_of "${ct_path%%"$TAB"*}")
    [ -e "$ct_new" ] || [ -L "$ct_new" ] || continue
    as "$(owner_of "${ct_new%/*}")" rm -f -- "$ct_new" || cannot "remove $ct_new" "$ct_new"
  done 3<<EOF
$RECORDED
EOF
}

# write_file PATH MODE UID:GID CONTENT — a file that is wholly ours. Succeeds with WRITTEN=yes where it changed.
write_file() {
  own_alone file "$1" "$([ ! -e "$1" ] || echo yes)"
  write_content "$@"
}

# write_shared PATH MODE UID:GID CONTENT — the same, for what several resources, and stacks, have in common: the last of
# them takes it away.
write_shared() {
  ours file "$1" "$([ ! -e "$1" ] || echo yes)" ||
    fail "$1 exists already and is not ours; move it away and run 'pulumi up' again"
  own file "$1"
  write_content "$@"
}

write_content() {
  WRITTEN=
  if [ -f "$1" ] && [ "$(stat -c %a -- "$1")" = "$2" ] && printf '%s\n' "$4" | cmp -s - "$1"; then
    return 0
  fi
  [ ! -e "$1" ] || as "$(owner_of "$(dirname "$1")")" chmod "$2" -- "$1" || cannot "write $1" "$1"
  printf '%s\n' "$4" | put "$1" "$2" "$3"
  # shellcheck disable=SC2034  # for the script that called
  WRITTEN=yes
  changed "wrote $1"
}

undo_dir() {
  [ -d "$1" ] || return 0
  if rmdir -- "$1" 2>/dev/null; then
    changed "removed the folder $1"
  else
    say "note: $HOST: the folder $1 stays, since there is more in it than we wrote"
  fi
}

undo_file() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  rm -f -- "$1" || fail "cannot remove $1"
  changed "removed $1"
}
