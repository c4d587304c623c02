# shellcheck shell=sh
# A Host entry in a file of its own, included from the first line of the account's ~/.ssh/config: an Include
# further down would fall under somebody's Host or Match.
#   ACCOUNT FILE ENTRY
apply() {
  ssh_folder "$ACCOUNT"
  recorded file "$FOLDER/$FILE" || recorded_elsewhere file "$FOLDER/$FILE" ||
    refuse_taken "$(printf '%s\n' "$ENTRY" | sed -n 's/^Host //p')"
  ENTRY=$(known_to_ssh "$ENTRY")
  KEY=$(printf '%s\n' "$ENTRY" | sed -n 's/^ *IdentityFile .*\///p')
  LOGIN_KEYS=$LOGIN_KEYS$FOLDER/$KEY$NL
  keep_identity
  write_file "$FOLDER/$FILE" 600 "$ENTRY"
  add_line "$SSH_DIR/config" 600 "Include ssh-reverse-tunnel/*.conf"
}

# The keys of the logins of this visit, one a line.
LOGIN_KEYS=${LOGIN_KEYS-}

# What loginCheck.sh has to prove, "FILE<TAB>KEY" a line: that a login gets in with that key, although its entry names another.
KEYS_TO_PROVE=${KEYS_TO_PROVE-}

# keep_identity — a key that our entry names already stays behind a new one, until the sweep after the login has been proven.
keep_identity() {
  local line place
  place=$FOLDER/$FILE
  recorded file "$place" && (fetch "$place") 2>/dev/null || return 0
  fetch "$place"
  [ -n "$FETCHED" ] || return 0
  while IFS= read -r line <&4; do
    [ -n "$line" ] || continue
    case "$NL$ENTRY$NL" in
      *"$NL$line$NL"*)
        ! recorded identity "$place$TAB$line" || forget identity "$place$TAB$line"
        write_forgotten
        ;;
      *)
        recorded identity "$place$TAB$line" || write_record "${RECORDED}identity$TAB$place$TAB$line$NL"
        KEYS_TO_PROVE="$KEYS_TO_PROVE$NL~$ACCOUNT/$FILE$TAB$KEY$NL"
        ENTRY=$ENTRY$NL$line
        ;;
    esac
  done 4<<EOF
$(grep -E '^ *IdentityFile ~/\.ssh/ssh-reverse-tunnel/[A-Za-z0-9_.-]+$' "$FETCHED" | head -n 3)
EOF
}

# refuse_taken ALIAS — ends the script if the account's ssh knows this name already, without ours: our entry would come first,
# and what used the name would end up elsewhere. ssh itself says so, by what else it does for a name that is nobody's.
# shellcheck disable=SC2016
refuse_taken() {
  look_for_apart
  ! ask "$SSH_DIR/config" sh -c "exec >/dev/null 2>&1; $AS_TYPED" sh \
    "${APART:+setpriv --inh-caps -all --ambient-caps -all}" "$HOME_PATH" timeout 20 sh -c '
    others() {
      {
        [ ! -f "$2" ] || grep -vxF "Include ssh-reverse-tunnel/*.conf" "$2"
        printf "\nMatch all\nInclude /etc/ssh/ssh_config\n"
      } | ssh -F /dev/stdin -o CanonicalizeHostname=no -G "$1" 2>/dev/null |
        sed "s/[0-9a-f]\{40,\}/@/g; s/ssh-reverse-tunnel[.]invalid/@/g; s/$alias/@/g"
    }
    alias=$1
    [ "$(others "$1" "$2")" != "$(others ssh-reverse-tunnel.invalid "$2")" ]' sh "$1" ||
    fail "'ssh $1' already has a meaning for '$ACCOUNT' ('ssh -G $1' shows it), which this login would replace; choose another 'alias' for the login, or rename that in the configuration of ssh"
}
