# shellcheck shell=sh
# The record: what each resource has added to this host, one "kind<TAB>value" a line, in
# /var/lib/ssh-reverse-tunnel/OWNER/RESOURCE. It is written before the thing itself, so that nothing of
# ours is ever there unrecorded. At the end of an apply, and in a remove, sweep() undoes, latest first,
# what is on record and was not asked for again: a removal is exact because it reads what was done, and
# a changed setting removes what it no longer wants.

RECORD=$STATE/$OWNER/$RESOURCE
MARKED=$NL

recorded() { [ -f "$RECORD" ] && grep -qxF -- "$1$TAB$2" "$RECORD"; }

# The records other than ours that hold this entry, one path a line.
other_records_of() {
  [ -d "$STATE" ] || return 0
  find "$STATE" -mindepth 2 -type f ! -path "$RECORD" ! -name '*.new' -exec grep -lxF -- "$1$TAB$2" {} + || :
}

# own KIND VALUE: we add this, or have added it; undo it when it is no longer asked for.
own() {
  MARKED="$MARKED$1$TAB$2$NL"
  recorded "$1" "$2" && return 0
  if [ ! -d "$STATE/$OWNER" ]; then
    mkdir -p "$STATE/$OWNER" && chmod 700 "$STATE" || fail "cannot create $STATE/$OWNER: is the disk full or read-only?"
  fi
  {
    [ ! -f "$RECORD" ] || cat "$RECORD"
    printf '%s\t%s\n' "$1" "$2"
  } | replace_record
}

# share KIND VALUE: as own, for what several resources may need at once and the last one takes away.
# What was there before any of us is left to its owner.
#   $3  yes where the thing exists already
share() {
  if [ "$3" != yes ] || recorded "$1" "$2" || [ -n "$(other_records_of "$1" "$2")" ]; then
    own "$1" "$2"
  fi
}

# own_alone KIND VALUE EXISTS: as own, for what must not be there already unless it is ours.
own_alone() {
  if ! recorded "$1" "$2"; then
    oa_other=$(other_records_of "$1" "$2")
    case $oa_other in
      "") [ "$3" != yes ] || fail "$2 exists already and is not ours; move it away, or choose another name" ;;
      "$STATE/$OWNER/"*) ;; # the same stack under another resource name: it was renamed
      *) fail "$2 belongs to the stack $(basename "$(dirname "$oa_other")"); choose another name" ;;
    esac
  fi
  own "$1" "$2"
}

forget() {
  grep -vxF -- "$1$TAB$2" "$RECORD" | replace_record
}

# The new record on standard input; an empty one leaves no file and no folder.
replace_record() {
  cat >"$RECORD.new" || fail "cannot write $RECORD: is the disk full or read-only?"
  if [ -s "$RECORD.new" ]; then
    mv -f "$RECORD.new" "$RECORD"
  else
    rm -f "$RECORD.new" "$RECORD"
    rmdir "$STATE/$OWNER" "$STATE" 2>/dev/null || :
  fi
}

sweep() {
  if [ -f "$RECORD" ]; then
    while IFS=$TAB read -r sw_kind sw_value <&3; do
      case $MARKED in *"$NL$sw_kind$TAB$sw_value$NL"*) continue ;; esac
      if [ -z "$(other_records_of "$sw_kind" "$sw_value")" ]; then
        "undo_$sw_kind" "$sw_value"
      fi
      forget "$sw_kind" "$sw_value"
    done 3<<EOF
$(awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' "$RECORD")
EOF
  fi
  after_sweep
}

# A script that must act once after all is undone (reload a daemon) replaces this.
after_sweep() { :; }
