# shellcheck shell=sh
# One line in an account's authorized_keys; everything else in the file stays byte for byte.
#   ACCOUNT  who may be logged in to
#   LINE     options, key and, last, MARKER
#   MARKER   the comment by which the line is found again
#   PERMITS  more options, one a line, as with_ports takes them; each is on record by itself, so that those which are stale
#            stay in the line until they are swept: what runs may have to come back
#   FILE     the authorized_keys file; empty: the one that sshd reads for the account
#   TARGET_HOST TARGET_PORT  where a login through a tunnel arrives here; "@target@" in LINE stands for its addresses
#   OTHER_NAMES  what MARKER began with if this was admitted under another name, whose line stays until it is swept; may be
#            unset
#   MANAGED_BY  the other stack whose program the command in LINE is; may be unset
apply() {
  local file
  know_daemon
  refuse_locked
  [ -z "$TARGET_HOST" ] || suit_target
  if [ -n "$FILE" ]; then
    [ -z "${MANAGED_BY-}" ] || need_program
    # Root's own place for the keys of tunnel accounts, which they cannot change themselves.
    dir_of "$FILE"
    make_dirs "$DIR"
    ! recorded created "$FILE" || ! is_there "$FILE" || keep_rights "$FILE" 644
    refuse_modes "$FILE"
    authorize "$FILE"
  else
    file=$(keys_file_of "$ACCOUNT")
    case $file in
      "~$ACCOUNT/.ssh/"*)
        refuse_link "~$ACCOUNT/.ssh"
        refuse_modes "$file"
        own_ssh_dir "$ACCOUNT"
        ;;
      *) refuse_modes "$file" ;;
    esac
    dir_of "$file"
    ask "$DIR" test -d ||
      fail "sshd reads the keys of '$ACCOUNT' from $file, and that folder does not exist; create it"
    authorize "$file"
  fi
}

# need_program — ends the script if the other stack has not set up this host, or not since it was reinstalled.
need_program() {
  local program
  program=${LINE#*'command="'}
  program=${program%%'"'*}
  [ -x "$program" ] ||
    fail "there is no $program here, which the stack '$MANAGED_BY' puts there as it manages this host; set 'revision' in that stack to a new value, run 'pulumi up' there, and then here again"
}

# If PAM does not look at accounts, sshd(8) does, and no key opens one that is locked.
refuse_locked() {
  case $(getent shadow "$ACCOUNT" | cut -d: -f2) in '!'*) ;; *) return 0 ;; esac
  [ "$(sshd_effective "$ACCOUNT" | sed -n 's/^usepam //p')" = yes ] || # one without PAM does not say
    fail "the account '$ACCOUNT' is locked (its password begins with '!'), and sshd refuses even its keys, since UsePAM is no; unlock it without a password, 'usermod --password '*' $ACCOUNT', or choose another account"
}

# refuse_modes PLACE — ends the script if sshd would read no keys there, because of a folder on the way or the file itself.
refuse_modes() {
  local strict found
  strict=$(sshd_effective "$ACCOUNT" | sed -n 's/^strictmodes //p')
  locate "$1"
  find_account "$ACCOUNT"
  found=$(as "$FOUND_IDS" sh -c "$MODES" sh "$AT_PATH" "$FOUND_HOME" "${FOUND_IDS%:*}" "$(private_group)" "$strict") ||
    fail_no_answer "$1" "$?"
  case $found in
    "") ;;
    closed*) fail "sshd reads the keys of '$ACCOUNT' as that account, which may not open ${found#closed }; give it that permission and run 'pulumi up' again" ;;
    *) fail "sshd takes no keys for '$ACCOUNT' from $AT_PATH, since somebody else may change ${found#other }; let it belong to root or '$ACCOUNT', remove the write permission of group and others, and run 'pulumi up' again (see StrictModes in sshd_config(5))" ;;
  esac
}

# Run as the account: prints what is in the way, as sshd sees it when it opens the file as the account and then looks at all
# that is above it, up to the home.
# shellcheck disable=SC2016
MODES='
  file=$1 home=$(readlink -f -- "$2") uid=$3 group=$4
  describe() { printf "%s %s (%s)\n" "$1" "$2" "$(stat -c "%U, mode %a" -- "$2")"; exit; }
  folder= rest=$file/
  while [ -n "$rest" ]; do
    folder=$folder${rest%%/*}/ rest=${rest#*/}
    [ -d "$folder" ] || break
    [ -x "$folder" ] || describe closed "$folder"
  done
  [ ! -e "$file" ] || [ -r "$file" ] || describe closed "$file"
  [ "$5" = yes ] || exit 0
  file=$(readlink -f -- "$file") || file=$1
  until [ -e "$file" ]; do file=$(dirname -- "$file"); done
  while :; do
    set -- $(stat -c "%u %g %a" -- "$file")
    case $1 in 0 | "$uid") ;; *) describe other "$file" ;; esac
    case $3 in
      *[2367]) describe other "$file" ;;
      *[2367]?) [ "$2" = "$group" ] || describe other "$file" ;;
    esac
    case $file in / | "$home") break ;; esac
    file=$(dirname -- "$file")
  done'

# private_group — prints the number of the account's group if it has no other members and this sshd, as Debian's does,
# therefore lets it write. The keyword is Debian's own.
private_group() {
  local gid
  gid=${FOUND_IDS#*:}
  [ "$({
    getent passwd | awk -F : -v gid="$gid" '$4 == gid { print $1 }'
    getent group "$gid" | cut -d: -f4 | tr , '\n' | sed '/^$/d'
  } | sort -u | paste -sd ' ' -)" = "$ACCOUNT" ] && ask_sshd -t -o DebianBanner=yes 2>/dev/null && printf %s "$gid" || :
}

# suit_target — replaces "@target@" in LINE. The login comes from the address that it goes to, which must be this host's own.
# A name may have several of them: one by which sshd lets it in is enough.
suit_target() {
  local addresses own target address type refusal refused
  addresses=$(addresses_of "$TARGET_HOST")
  [ -n "$addresses" ] ||
    fail "there is no address of '$TARGET_HOST', the target of the forward for the login to '$ACCOUNT'; correct 'target', or write an address there"
  own=$(for address in $addresses; do ! is_own "$address" || printf '%s\n' "$address"; done)
  target=$TARGET_HOST
  [ "$addresses" = "$target" ] || target="$TARGET_HOST ($(printf '%s\n' "$addresses" | paste -sd , - | sed 's/,/, /g'))"
  [ -n "$own" ] ||
    fail "the login to '$ACCOUNT' would end on another machine, since the target of its forward is $target, which is not this host; let 'target' be 127.0.0.1 or an address of this host, or name another forward in 'via', and run 'pulumi up' again"
  type=${LINE%" $MARKER"}
  type=${type% *}
  refused=
  for address in $own; do
    refusal=$(refusal_of_login "$ACCOUNT" "$address" "$TARGET_PORT" "${type##* }")
    [ -n "$refusal" ] || break
    refused=${refused:-$refusal}
  done
  [ -z "$refusal" ] || fail "$refused"
  LINE=$(printf '%s\n' "$LINE" | sed "s/@target@/$(printf '%s\n' "$own" | paste -sd , -)/")
}

# authorize PLACE — sshd reads a file that belongs to root as the account. If we make such a file it stays root's, or the
# account could add keys of its own.
authorize() {
  local key mode
  [ -z "${OTHER_NAMES-}" ] || RENAMED=${RENAMED}key$TAB$1$TAB$OTHER_NAMES$NL
  key=${LINE%" $MARKER"}
  key=${key##* }
  [ -z "$PERMITS" ] || together own_permits "$1" "$key"
  fetch "$1"
  case "$AT_IDS $1" in 0:*" /"*) mode=644 ;; *) mode=600 ;; esac
  add_key "$1" "$mode" "$LINE" "$key" "$MARKER"
}

# own_permits PLACE KEY — adds them to the options of LINE; sets OPTIONS.
own_permits() {
  local permit
  OPTIONS=${LINE%% *}
  while IFS= read -r permit <&4; do
    own permit "$1$TAB$MARKER$TAB$permit"
    OPTIONS=$OPTIONS,$permit
  done 4<<EOF
$(with_ports "$PERMITS")
EOF
  [ "$STALE" != keep ] || add_stale_permits "$1"
  LINE="$OPTIONS ${LINE#* }"
  record_key "$1" "$2" "$MARKER"
}

# add_stale_permits PLACE — adds those to OPTIONS that an earlier run has on record.
add_stale_permits() {
  local permit
  while IFS= read -r permit <&4; do
    [ -n "$permit" ] || continue
    case ,$OPTIONS, in *",$permit,"*) ;; *) OPTIONS=$OPTIONS,$permit ;; esac
  done 4<<EOF
$(recorded_under "$RECORDED" permit "$1$TAB$MARKER")
EOF
}

# sshd_config(5), AuthorizedKeysFile: the PLACE of the first of them, with its tokens replaced.
keys_file_of() {
  local name home
  name=$(sshd_effective "$1" | sed -n 's/^authorizedkeysfile //p' | cut -d' ' -f1)
  case $name in
    "" | none) fail "sshd reads no authorized_keys file for '$1' (AuthorizedKeysFile is '${name:-unknown}'); set it in sshd_config" ;;
  esac
  find_home "$1"
  home=$FOUND_HOME
  name=$(printf '%s' "$name" | USER_NAME=$1 USER_HOME=$home USER_ID=${FOUND_IDS%:*} awk '{
    out = ""
    while (match($0, /%[%hUu]/)) {
      token = substr($0, RSTART + 1, 1)
      value = token == "h" ? ENVIRON["USER_HOME"] : token == "u" ? ENVIRON["USER_NAME"] : token == "U" ? ENVIRON["USER_ID"] : "%"
      out = out substr($0, 1, RSTART - 1) value
      $0 = substr($0, RSTART + 2)
    }
    printf "%s", out $0
  }')
  case $name in
    "$home/"*) printf '~%s/%s' "$1" "${name#"$home/"}" ;;
    /*) printf '%s' "$name" ;;
    *) printf '~%s/%s' "$1" "$name" ;;
  esac
}
