# shellcheck shell=sh
# One line of ours in a file that belongs to somebody else (authorized_keys, ~/.ssh/config, sshd_config).
# Everything else in the file stays as it is, byte for byte. head and tail cut it: unlike sed, awk and grep
# they neither add a missing newline at the end nor trip over odd bytes.

# line_number FILE TEXT — of the line that is TEXT, or that ends with it where $3 is "end"; empty where there is none.
line_number() {
  if [ -f "$1" ]; then
    TEXT=$2 HOW=${3-whole} awk '
      BEGIN { text = ENVIRON["TEXT"]; n = length(text) }
      $0 == text || (ENVIRON["HOW"] == "end" && length($0) > n && substr($0, length($0) - n + 1) == text) {
        print NR; exit
      }' "$1"
  fi
}

ends_without_newline() { [ -s "$1" ] && [ -n "$(tail -c 1 -- "$1" | tr -d '\n' | od -An -c)" ]; }

# A symbolic link is followed, so that the link itself stays one.
real_path() {
  if [ -L "$1" ]; then readlink -f -- "$1"; else printf '%s' "$1"; fi
}

# add_line FILE UID:GID MODE WHERE LINE [END] — WHERE is top or bottom. The line is found again by END, with
# which it ends, or by being the same. MODE and owner are for a file that is not there yet.
add_line() {
  al_file=$(real_path "$1")
  # An account could have root write wherever it likes.
  if [ -L "$1" ] && al_folder=$(owner_of "$(dirname "$al_file")") && [ "${al_folder%:*}" != "${2%:*}" ]; then
    fail "$1 is a link to $al_file, whose folder belongs to somebody else than its account; make it a file of its own"
  fi
  al_key=${6-$5}
  keep_time "$al_file"
  share created "$al_file" "$([ ! -e "$al_file" ] || echo yes)"
  if [ "$4" = bottom ]; then
    # The bytes that a file without a final newline had: the newline that we add goes again with our line.
    al_size=$(newline_size "$al_file")
    if [ -n "$al_size" ]; then
      share newline "$al_size $al_file" yes
    elif [ -f "$al_file" ] && ends_without_newline "$al_file"; then
      share newline "$(wc -c <"$al_file" | tr -d ' ') $al_file" no
    fi
  fi
  al_number=$(line_number "$al_file" "$al_key" "${6:+end}")
  if [ -n "${6-}" ]; then
    own line "$al_file${TAB}end$TAB$al_key"
  else
    share line "$al_file${TAB}whole$TAB$al_key" "${al_number:+yes}"
  fi
  if [ -n "$al_number" ] && [ "$(tail -n "+$al_number" "$al_file" | head -n 1)" = "$5" ]; then
    return 0
  fi
  {
    if [ -n "$al_number" ]; then # ours, with other options: in its place
      head -n $((al_number - 1)) "$al_file"
      printf '%s\n' "$5"
      tail -n "+$((al_number + 1))" "$al_file"
    elif [ "$4" = top ]; then
      printf '%s\n' "$5"
      [ ! -f "$al_file" ] || cat "$al_file"
    else
      [ ! -f "$al_file" ] || cat "$al_file"
      [ ! -f "$al_file" ] || ! ends_without_newline "$al_file" || echo
      printf '%s\n' "$5"
    fi
  } | put "$al_file" "$3" "$2"
  changed "added a line to $al_file"
}

# keep_time FILE — a file that is again what it was, byte for byte, also gets the time back that it had. One that we made
# was nothing before.
keep_time() {
  if [ ! -f "$1" ] || recorded created "$1" || recorded_elsewhere created "$1"; then return 0; fi
  remember time "$1" "$(hash_of "$1")$TAB$(time_of "$1")"
}

hash_of() { sha256sum <"$1" | cut -d' ' -f1; }

# The size that the file had before one of us gave it a final newline; nothing where none of us did.
newline_size() {
  printf '%s' "$RECORDED$OTHERS" | FILE=$1 awk -F "$TAB" '
    $1 == "newline" && substr($2, index($2, " ") + 1) == ENVIRON["FILE"] { split($2, p, " "); print p[1]; exit }'
}

undo_line() {
  ul_file=${1%%"$TAB"*}
  ul_rest=${1#*"$TAB"}
  ul_number=$(line_number "$ul_file" "${ul_rest#*"$TAB"}" "${ul_rest%%"$TAB"*}")
  [ -n "$ul_number" ] || return 0
  {
    head -n $((ul_number - 1)) "$ul_file"
    tail -n "+$((ul_number + 1))" "$ul_file"
  } | put "$ul_file" 600 0:0
  changed "removed our line from $ul_file"
}

# The newline goes only where the file is again what it was: the old bytes and that newline.
undo_newline() {
  un_size=${1%% *}
  un_file=${1#* }
  [ -f "$un_file" ] && [ "$(wc -c <"$un_file")" -eq $((un_size + 1)) ] && ! ends_without_newline "$un_file" || return 0
  head -c "$un_size" "$un_file" | put "$un_file" 600 0:0
}

undo_time() {
  ut_file=${1%%"$TAB"*}
  ut_rest=${1#*"$TAB"}
  ut_time=${ut_rest#*"$TAB"}
  [ -f "$ut_file" ] && [ "$(hash_of "$ut_file")" = "${ut_rest%%"$TAB"*}" ] &&
    [ "$(time_of "$ut_file")" != "$ut_time" ] || return 0
  as "$(owner_of "$(dirname "$ut_file")")" cat -- "$ut_file" | put "$ut_file" 600 0:0 "$ut_time"
}

undo_created() {
  [ -f "$1" ] && [ ! -s "$1" ] || return 0
  rm -f -- "$1" || fail "cannot remove $1"
  changed "removed $1"
}
