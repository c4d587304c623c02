# shellcheck shell=sh
# A key pair, made here and never leaving here. Prints "key ACCOUNT/FILE" and the public half.
#   ACCOUNT  whose ~/.ssh it lies in
#   FILE     its name below ~/.ssh/ssh-reverse-tunnel
#   COMMENT  of the public key
#   TYPES    of key that the sshd which it is for accepts, the best first: "ed25519 ecdsa", or one of them
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
  drop_types_of_ssh "$key"
  public=
  if ask "$key" test -s; then
    keep_rights "$key" 600 # or ssh uses none
    read_public "$key"
    case "$TYPES $public" in
      ecdsa" ssh-ed25519 "*)
        say "note: $HOST: sshd or ssh no longer accepts the ed25519 key $key, so there is an ecdsa key in its place"
        public=
        ;;
    esac
  fi
  if [ -z "$public" ]; then
    write_record "${RECORDED}file$TAB$key.new${NL}file$TAB$key.new.pub$NL"
    # shellcheck disable=SC2016
    at "$key" sh -c '
      for type in $2; do
        rm -f -- "$3.new" "$3.new.pub"
        ssh-keygen -q -t "$type" -N "" -C "$1" -f "$3.new" && { sync -- "$3.new" 2>/dev/null || sync; } &&
          rm -f -- "$3.new.pub" && mv -fT -- "$3.new" "$3" && exit 0
      done
      rm -f -- "$3.new" "$3.new.pub"
      exit 1' sh "$COMMENT" "$TYPES" >/dev/null || cannot_at "make the key $key" "$key"
    label "$key"
    changed "made the key $key"
    read_public "$key"
  fi
  write_file "$key.pub" 644 "$public"
  printf 'key %s/%s %s\n' "$ACCOUNT" "$FILE" "$public"
}

# read_public KEY — sets public. The account decides what is printed there, and what we print is admitted on the other host: so it
# is one line, with nothing but a key.
read_public() {
  public=$(at "$1" ssh-keygen -y -P '' -f) ||
    fail "the key $1 cannot be read; move it away and run 'pulumi up' again, which makes a new one"
  public=$(printf '%s\n' "$public" | head -n 1 | cut -d' ' -f1,2)
  case $public in
    "ssh-ed25519 "* | "ecdsa-sha2-nistp256 "*) ;;
    *) fail "the key $1 is not an ed25519 or ecdsa key; move it away and run 'pulumi up' again, which makes a new one" ;;
  esac
  case ${public#* } in
    "" | *[!A-Za-z0-9+/=]*) fail "ssh-keygen does not print the public half of the key $1; move it away and run 'pulumi up' again" ;;
  esac
  public="$public $COMMENT"
}

# drop_types_of_ssh KEY — leaves ecdsa alone in TYPES if ssh uses no ed25519 keys here, by the configuration of the host: what
# the account has of its own could keep us waiting. In FIPS mode, ssh-keygen makes none either.
drop_types_of_ssh() {
  local file accepted
  file=/etc/ssh/ssh_config
  [ -f "$file" ] || file=/usr/etc/ssh/ssh_config
  [ -f "$file" ] || return 0
  locate "$1"
  accepted=$(as "$AT_IDS" ssh -F "$file" -G x 2>/dev/null | sed -n 's/^pubkeyaccepted[a-z]* //p') || :
  case ",$accepted," in
    *,ssh-ed25519,*) ;;
    *,ecdsa-sha2-nistp256,*) TYPES=ecdsa ;;
  esac
}
