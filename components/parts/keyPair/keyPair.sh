# shellcheck shell=sh
# A key pair, made here and never leaving here. Prints "key ACCOUNT/FILE" and the public half.
#   ACCOUNT  whose ~/.ssh it lies in
#   FILE     its name below ~/.ssh/ssh-reverse-tunnel
#   COMMENT  of the public key
apply() {
  local key file public
  need_cmd ssh-keygen openssh-client
  ssh_folder "$ACCOUNT"
  key=$FOLDER/$FILE
  for file in "$key" "$key.pub"; do
    look_for "$file"
    own_alone file "$file" "$THERE"
  done
  passing file "$key.new"
  passing file "$key.new.pub"
  if ask "$key" test -s; then
    public=$(at "$key" ssh-keygen -y -P '' -f) ||
      fail "the key $key cannot be read; move it away and run 'pulumi up' again, which makes a new one"
    public="$(printf '%s' "$public" | cut -d' ' -f1,2) $COMMENT"
  else
    write_record "${RECORDED}file$TAB$key.new${NL}file$TAB$key.new.pub$NL"
    # shellcheck disable=SC2016
    public=$(
      at "$key" sh -c '
        rm -f -- "$2.new" "$2.new.pub"
        ssh-keygen -q -t ed25519 -N "" -C "$1" -f "$2.new" && cat -- "$2.new.pub" &&
          { sync -- "$2.new" 2>/dev/null || sync; } && rm -f -- "$2.new.pub" && mv -fT -- "$2.new" "$2" && exit 0
        rm -f -- "$2.new" "$2.new.pub"
        exit 1' sh "$COMMENT"
    ) || cannot_at "make the key $key" "$key"
    label "$key"
    changed "made the key $key"
  fi
  write_file "$key.pub" 644 "$public"
  printf 'key %s/%s %s\n' "$ACCOUNT" "$FILE" "$public"
}
