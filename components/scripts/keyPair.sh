# shellcheck shell=sh
# needs: record files sshFolder
# A key pair, made here and never leaving here; prints the public half.
#   ACCOUNT  whose ~/.ssh it lies in
#   FILE     its name below ~/.ssh/ssh-reverse-tunnel
#   COMMENT  of the public key
apply() {
  need_cmd ssh-keygen openssh-client
  ssh_folder "$ACCOUNT"
  key=$FOLDER/$FILE
  own_alone file "$key" "$([ ! -e "$key" ] || echo yes)"
  own_alone file "$key.pub" "$([ ! -e "$key.pub" ] || echo yes)"
  if [ -s "$key" ]; then
    public=$(as "$IDS" ssh-keygen -y -P '' -f "$key") ||
      fail "the key $key cannot be read; move it away and run 'pulumi up' again, which makes a new one"
    public="$(printf '%s' "$public" | cut -d' ' -f1,2) $COMMENT"
  else
    # On record until the sweep: what a killed run leaves of it goes with the next, or with a remove.
    write_record "${RECORDED}file$TAB$key.new${NL}file$TAB$key.new.pub$NL"
    as "$IDS" rm -f -- "$key.new" "$key.new.pub"
    as "$IDS" ssh-keygen -q -t ed25519 -N '' -C "$COMMENT" -f "$key.new" || {
      as "$IDS" rm -f -- "$key.new" "$key.new.pub"
      cannot "make the key $key" "$key"
    }
    public=$(as "$IDS" cat -- "$key.new.pub")
    as "$IDS" rm -f -- "$key.new.pub"
    as "$IDS" mv -f -- "$key.new" "$key"
    label "$key"
    changed "made the key $key"
  fi
  write_file "$key.pub" 644 "$IDS" "$public"
  printf '%s\n' "$public"
}

main "$@"
