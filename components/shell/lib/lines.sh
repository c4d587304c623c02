# shellcheck shell=sh
# One line of ours in a file that belongs to somebody else (authorized_keys, ~/.ssh/config, sshd_config).
# Everything else in the file stays as it is, byte for byte. head and tail cut it: unlike sed, awk and grep
# they neither add a missing newline at the end nor trip over odd bytes.

# Where root keeps its copy of an account's file, for as long as this script runs.
WORK=/run/ssh-reverse-tunnel.work

# fetch PLACE — sets FETCHED to a file with its content, which nobody can replace any more; to nothing if there is none. Its
# account reads it, once: root would follow a link, and could be shown another file at each look.
fetch() {
  local there
  locate_target "$1"
  FETCHED=
  if [ "${AT_IDS%:*}" = "$SELF" ]; then
    [ ! -f "$AT_PATH" ] || FETCHED=$AT_PATH
    return 0
  fi
  there=0
  as "$AT_IDS" test -e "$AT_PATH" || there=$?
  case $there in 1) return 0 ;; esac
  rm -rf -- "$WORK" && mkdir -m 700 -- "$WORK" || cannot "create $WORK" "$WORK"
  copy_as_account "$AT_PATH" "$WORK/file" ||
    fail "$1 cannot be read by its account, or is not a regular file of at most 8 MiB; repair that and run 'pulumi up' again"
  FETCHED=$WORK/file
}

# line_number FILE TEXT — the number of the line that is TEXT; nothing if there is none.
line_number() {
  [ ! -f "$1" ] || TEXT=$2 awk '$0 == ENVIRON["TEXT"] { print NR; exit }' "$1"
}

# key_lines FILE KEY MARKER — the numbers of all lines that let this key in, whatever a person has done with ours: changed
# its options or its comment, copied it, or saved the file with CRLF. And of those with our MARKER as comment, whatever key
# they have.
key_lines() {
  [ ! -f "$1" ] || KEY=$2 MARKER=$3 awk '
    { sub(/[ \t\r]+$/, "") }
    /^[ \t]*#/ { next }
    {
      for (i = 1; i <= NF; i++)
        if ($i == ENVIRON["KEY"] || (i == NF && $i == ENVIRON["MARKER"])) { print NR; next }
    }' "$1"
}

# cut_lines FILE LINE NUMBER… — the file without the lines of these numbers, which rise. LINE, if it is not empty, takes the
# place of the first.
cut_lines() {
  local file line from number
  file=$1 line=$2
  shift 2
  from=1
  for number; do
    [ "$number" = "$from" ] || tail -n "+$from" "$file" | head -n $((number - from))
    [ -z "$line" ] || printf '%s\n' "$line"
    line=
    from=$((number + 1))
  done
  tail -n "+$from" "$file"
}

# refuse_many PLACE NUMBERS — an account could have us start processes for each of thousands, while others wait for the lock.
refuse_many() {
  [ "$(printf '%s\n' "$2" | wc -l)" -le 100 ] ||
    fail "$1 has more than 100 lines with our key or our comment; delete these lines and run 'pulumi up' again"
}

ends_without_newline() { [ -s "$1" ] && [ -n "$(tail -c 1 -- "$1" | tr -d '\n' | od -An -c)" ]; }

# A symbolic link that belongs to root is followed, so that the link itself stays a link.
real_path() {
  if [ -L "$1" ]; then readlink -f -- "$1"; else printf '%s' "$1"; fi
}

# begin_edit PLACE — fetches it, and records how it was.
begin_edit() {
  fetch "$1"
  keep_time "$1"
  share created "$1" "${FETCHED:+yes}"
}

# record_line PLACE LINE — sets LINE_NUMBER to where that line is, or to nothing.
record_line() {
  begin_edit "$1"
  LINE_NUMBER=$(line_number "$FETCHED" "$2")
  share line "$1$TAB$2" "${LINE_NUMBER:+yes}"
}

# add_line PLACE MODE LINE — at the top. MODE is for a file that is not there yet.
add_line() {
  together record_line "$1" "$3"
  [ -z "$LINE_NUMBER" ] || return 0
  {
    printf '%s\n' "$3"
    [ -z "$FETCHED" ] || cat -- "$FETCHED"
  } | rewrite "$1" "$2"
  changed "added a line to $1"
}

# add_key PLACE MODE LINE KEY MARKER — a line of authorized_keys, at the bottom: options, type, KEY and, as comment, MARKER.
# No other line has this key, since sshd takes the first one that it finds.
add_key() {
  local numbers first
  together record_key "$1" "$4" "$5"
  numbers=$(key_lines "$FETCHED" "$4" "$5")
  case $numbers in
    "")
      {
        [ -z "$FETCHED" ] || cat -- "$FETCHED"
        [ -z "$FETCHED" ] || ! ends_without_newline "$FETCHED" || echo
        printf '%s\n' "$3"
      } | rewrite "$1" "$2"
      ;;
    *)
      refuse_many "$1" "$numbers"
      first=$(tail -n "+${numbers%%"$NL"*}" "$FETCHED" | head -n "$(printf '%s\n' "$numbers" | wc -l)")
      [ "$first" != "$3" ] || return 0
      [ -z "$BEFORE" ] || REPLACED=$REPLACED$1$TAB$3$TAB${first%%"$NL"*}$NL
      # shellcheck disable=SC2086  # numbers
      cut_lines "$FETCHED" "$3" $numbers | rewrite "$1" "$2"
      ;;
  esac
  changed "added a line to $1"
}

# What this apply has replaced, "PLACE<TAB>NEW LINE<TAB>OLD LINE" a line: see take_back.
REPLACED=
restore_replaced() {
  local place new old number
  while IFS=$TAB read -r place new old <&3; do
    [ -n "$place" ] || continue
    fetch "$place"
    number=$(line_number "$FETCHED" "$new")
    [ -n "$number" ] || continue
    cut_lines "$FETCHED" "$old" "$number" | rewrite "$place" 600
    changed "restored our line in $place"
  done 3<<EOF
$REPLACED
EOF
}

# record_key PLACE KEY MARKER
record_key() {
  begin_edit "$1"
  # The size of a file without a final newline, before one of us gave it one: the newline goes again with our line.
  recall newline "$1"
  if [ -n "$RECALLED" ]; then
    share newline "$1$TAB$RECALLED" yes
  elif [ -n "$FETCHED" ] && ends_without_newline "$FETCHED"; then
    share newline "$1$TAB$(wc -c <"$FETCHED" | tr -d ' ')" no
  fi
  own key "$1$TAB$3$TAB$2"
}

# keep_time PLACE — a file that gets back its content, byte for byte, also gets back its time. A file that we made had none
# before.
keep_time() {
  if [ -z "$FETCHED" ] || recorded created "$1" || recorded_elsewhere created "$1"; then return 0; fi
  remember time "$1" "$(hash_of "$FETCHED")$TAB$(time_of "$1")"
}

hash_of() {
  local sum
  sum=$(sha256sum <"$1")
  printf '%s' "${sum%% *}"
}

# A line of a Host entry of ours, for an earlier key. As the only one of a key it stays: then the new one was taken back.
kind identity OUR_FILE LINE
undo_identity() {
  local place number
  place=${1%%"$TAB"*}
  fetch "$place"
  [ -n "$FETCHED" ] && [ "$(grep -c '^ *IdentityFile ' "$FETCHED")" -gt 1 ] || return 0
  number=$(line_number "$FETCHED" "${1#*"$TAB"}")
  [ -n "$number" ] || return 0
  cut_lines "$FETCHED" '' "$number" | put "$place" 600
  changed "took the earlier key out of $place"
}

kind line THEIR_FILE LINE
undo_line() {
  local place number
  place=${1%%"$TAB"*}
  fetch "$place"
  number=$(line_number "$FETCHED" "${1#*"$TAB"}")
  [ -n "$number" ] || return 0
  cut_lines "$FETCHED" '' "$number" | rewrite "$place" 600
  changed "removed our line from $place"
}

# Takes an option away from a line of authorized_keys that stays, whatever else a person has written there. A line that is
# removed keeps its options until then: fewer of them permit more.
kind permit PLACE MARKER OPTION
undo_permit() {
  local place permit marker number line
  place=${1%%"$TAB"*}
  permit=${1##*"$TAB"}
  marker=${1#*"$TAB"}
  case $MARKED in *"${NL}key$TAB$place$TAB${marker%"$TAB"*}$TAB"*) ;; *) return 0 ;; esac
  fetch "$place"
  number=$(key_lines "$FETCHED" '' "${marker%"$TAB"*}" | head -n 1)
  [ -n "$number" ] || return 0
  line=$(tail -n "+$number" "$FETCHED" | head -n 1)
  case $line in
    *",$permit"*) line=${line%%",$permit"*}${line#*",$permit"} ;;
    *"$permit,"*) line=${line%%"$permit,"*}${line#*"$permit,"} ;;
    *) return 0 ;;
  esac
  cut_lines "$FETCHED" "$line" "$number" | rewrite "$place" 600
  changed "took $permit from our line in $place"
}

# If the key was replaced, its line still has our marker, and belongs to another entry now.
kind key THEIR_FILE MARKER KEY
undo_key() {
  local place key marker numbers
  place=${1%%"$TAB"*}
  key=${1##*"$TAB"}
  marker=${1#*"$TAB"}
  marker=${marker%"$TAB"*}
  case $MARKED in *"${NL}key$TAB$place$TAB$marker$TAB"*) marker= ;; esac
  fetch "$place"
  numbers=$(key_lines "$FETCHED" "$key" "$marker")
  [ -n "$numbers" ] || return 0
  refuse_many "$place" "$numbers"
  # shellcheck disable=SC2086  # numbers
  cut_lines "$FETCHED" '' $numbers | rewrite "$place" 600
  changed "removed our line from $place"
}

# The newline goes only if the file is again what it was: the old bytes and that newline.
kind newline PLACE SIZE
undo_newline() {
  local size place
  size=${1#*"$TAB"}
  place=${1%%"$TAB"*}
  fetch "$place"
  [ -n "$FETCHED" ] && [ "$(wc -c <"$FETCHED")" -eq $((size + 1)) ] && ! ends_without_newline "$FETCHED" || return 0
  head -c "$size" -- "$FETCHED" | rewrite "$place" 600
}

kind time PLACE HASH TIME
undo_time() {
  local place rest time
  place=${1%%"$TAB"*}
  rest=${1#*"$TAB"}
  time=${rest#*"$TAB"}
  fetch "$place"
  [ -n "$FETCHED" ] && [ "$(hash_of "$FETCHED")" = "${rest%%"$TAB"*}" ] &&
    [ "$(time_of "$place")" != "$time" ] || return 0
  rewrite "$place" 600 "$time" <"$FETCHED"
}

kind created PLACE
undo_created() {
  fetch "$1"
  [ -n "$FETCHED" ] && [ ! -s "$FETCHED" ] || return 0
  at "$1" rm -f -- || fail "cannot remove $1; see the lines before this one"
  changed "removed $1"
}

clear_work() { [ -z "$LOCKED" ] || [ ! -d "$WORK" ] || rm -rf -- "$WORK"; }
