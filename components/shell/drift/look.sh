# shellcheck shell=sh
# Drift: what differs from what we left. At its end, an apply with DRIFT in its header notes the state of each thing on its
# record, a line "noted<TAB>STATE<TAB>KIND<TAB>VALUE" there. A look compares it with what there is now.

# states_of_record — prints "noted<TAB>STATE<TAB>ENTRY" for each entry of RECORDED that is wanted and has a state. What cannot be
# looked at has had its sentence, which ends the subshell, and has the state "unknown". The next subshell goes on after it.
states_of_record() {
  as() { as_once "$@"; } # in a subshell
  until (print_states); do :; done 3<<EOT
$RECORDED
EOT
  [ "$VERB" = look ] || rm -f -- "$SILENT"
}

print_states() {
  local entry kind
  LOOKED_AT=
  trap '[ -z "$LOOKED_AT" ] || printf "noted\tunknown\t%s\n" "$LOOKED_AT"' EXIT
  while IFS= read -r entry <&3; do
    kind=${entry%%"$TAB"*}
    case $RECORDED in *"${NL}stale$TAB$entry$NL"*) continue ;; esac
    [ -n "$kind" ] && command -v "present_$kind" >/dev/null || continue
    STATE='' LOOKED_AT=$entry
    "present_$kind" "${entry#*"$TAB"}"
    LOOKED_AT=
    case $STATE in *[!\ -~]*) STATE=$(printf '%s' "$STATE" | tr -c ' -~' '?') ;; esac
    [ -z "$STATE" ] || printf 'noted\t%s\t%s\n' "$STATE" "$entry"
  done
}

# look — prints a line "record NAME" for each record of this stack, then "looking": from then on, what it has printed counts
# even if time runs out. Then "drift NAME<TAB>TIME OF THE RECORD<TAB>WORDS" for each thing that differs, "key ACCOUNT/FILE PUBLIC
# KEY" for each key pair on such a record that is as it was, and "done"; instead of that "busy", if a run changes this host
# right now. Changes nothing.
look() {
  if is_locked; then
    echo busy
    return 0
  fi
  # A run has a folder of the usual name for itself.
  WORK=/run/ssh-reverse-tunnel.look.$$
  PATIENCE=5
  # shellcheck disable=SC2064  # their names as they are now
  trap "rm -rf -- $WORK $SILENT" EXIT
  rm -f -- "$SILENT" # of one that was killed
  as() { as_once "$@"; }
  [ ! -d "$STATE" ] || refuse_foreign_records
  ELSEWHERE=$NL$([ ! -d "$STATE" ] || find_records ! -path "$STATE/$OWNER/*" -exec cat {} +)$NL
  each_record print_name
  echo looking
  each_record compare_states
  if is_locked; then echo busy; else echo "done"; fi
}

# each_record COMMAND — runs it with each of this stack as RECORD and RESOURCE.
each_record() {
  local file
  for file in "$STATE/$OWNER"/*; do
    case $file in *.new) continue ;; esac
    [ -f "$file" ] || continue
    RECORD=$file RESOURCE=${file##*/}
    "$1"
  done
}

print_name() { printf 'record %s\n' "$RESOURCE"; }

# flock(1) would make a file that is gone.
is_locked() { [ -e "$LOCK_FILE" ] && (exec 8<"$LOCK_FILE" && ! flock -n 8) 2>/dev/null; }

# as_once UID:GID COMMAND… — as, but an account that has stopped its own processes is not asked again, since that takes PATIENCE
# seconds each time. SILENT is a file with those accounts.
PATIENCE=60
SILENT=/run/ssh-reverse-tunnel.look.$$.silent
as_once() {
  local ids status
  ids=$1 status=0
  shift
  case $ids in
    "$SELF":*)
      "$@"
      return
      ;;
  esac
  ! grep -qxF -- "$ids" "$SILENT" 2>/dev/null || return 137
  as_other "$PATIENCE" "$ids" "$@" || status=$?
  [ "$status" != 137 ] || echo "$ids" >>"$SILENT"
  return "$status"
}

# compare_states — of one record; adds what it reports to REPORTED.
REPORTED=$NL
compare_states() {
  local state entry was differing same
  differing='' same=$NL
  read_entries
  forget_states
  if [ -z "$NOTES" ]; then
    [ "$RECORDED" = "$NL" ] || print_drift "its last run has not noted what it left"
    return 0
  fi
  while IFS=$TAB read -r state entry <&4; do
    case $NOTES in *"$TAB$entry$NL"*) ;; *) continue ;; esac
    was=${NOTES%%"$TAB$entry$NL"*}
    was=${was##*"noted$TAB"}
    if [ "$state" = unknown ]; then continue; fi # it has had its sentence
    if [ "$was" = "$state" ]; then
      same=$same$entry$NL
      continue
    fi
    # Another stack has it too, perhaps of another version, which writes something else there.
    case $state$ELSEWHERE in missing*) ;; *"$NL$entry$NL"*) continue ;; esac
    # A thing on several records of this stack is one thing, and the first of them repairs it.
    case $REPORTED in *"$NL$entry$NL"*) continue ;; esac
    REPORTED=$REPORTED$entry$NL
    print_drift "$(name_of "$entry")$(difference "$was" "$state")"
    differing=yes
  done 4<<EOT
$(states_of_record | sed 's/^noted.//')
EOT
  [ -z "$differing" ] || (print_keys "$same") || : # it has had its sentence
}

# print_keys ENTRIES — a preview needs the keys of a script that is to run again, which nothing changes.
print_keys() {
  local kind place
  while IFS=$TAB read -r kind place <&4; do
    case $kind$place in "file~"*/.ssh/ssh-reverse-tunnel/*.pub) ;; *) continue ;; esac
    case $1 in *"${NL}file$TAB${place%.pub}$NL"*) ;; *) continue ;; esac
    fetch "$place"
    [ -z "$FETCHED" ] || printf 'key %s/%s %s\n' "$(printf '%s' "${place#"~"}" | cut -d/ -f1)" "$(basename "$place" .pub)" "$(head -n 1 -- "$FETCHED")"
  done 4<<EOT
$1
EOT
}

# print_drift WORDS
print_drift() { printf 'drift %s\t%s\t%s\n' "$RESOURCE" "$(stat -c %y -- "$RECORD")" "$1"; }

# name_of ENTRY — what it is called in a message.
name_of() {
  local kind value
  kind=${1%%"$TAB"*} value=${1#*"$TAB"}
  case $kind in
    line) printf "the line '%s' in %s" "${value#*"$TAB"}" "${value%%"$TAB"*}" ;;
    key) printf 'our line in %s' "${value%%"$TAB"*}" ;;
    user) printf 'the account %s' "$value" ;;
    group) printf 'the group %s' "$value" ;;
    mask) printf 'the mask of %s' "$value" ;;
    firewalld) printf "the rule for port %s" "$(words_firewalld "$value" | sed 's/.* port //')" ;;
    ufw) printf 'the rule for port %s in ufw' "$value" ;;
    seport) printf 'the SELinux type of port %s' "${value% *}" ;;
    secontext) printf 'the SELinux rule for %s' "$value" ;;
    *) printf '%s' "$value" ;; # a path, or a unit
  esac
}

# difference WAS IS — in words.
difference() {
  printf '%s\n%s\n' "$1" "$2" | awk '
    function name(field) { sub(/ .*/, "", field); return field }
    function value(field) { return sub(/^[^ ]* /, "", field) && field != "" ? field : "none" }
    NR == 1 && $0 == "unknown" { printf ": its last run could not look at what it left"; exit }
    NR == 1 { n = split($0, was, ", "); next }
    $0 == "missing" { printf " is missing"; next }
    {
      m = split($0, is, ", ")
      separator = ": "
      for (i = 1; i <= m || i <= n; i++) {
        if (is[i] == was[i]) continue
        if (name(is[i]) != name(was[i])) text = is[i]
        else if (name(is[i]) == "content") text = "other content"
        else text = name(is[i]) " " value(is[i]) " instead of " value(was[i])
        if (text != "") printf "%s%s", separator, text
        separator = ", "
      }
    }'
}
