# shellcheck shell=sh
# Succeeds only if each login back works: ssh logs in as whoever types the command, with all that its configuration says,
# and asks for a subsystem that does not exist. That needs a session, which sshd grants or refuses, but sshd starts nothing
# in it: no shell, no forced command, no sshrc. So it harms nothing, and it works if the account's shell is nologin.
#   LOGINS    FROM,ALIAS,FORWARD of each, one after the other
#   INSIDE    the internal host, for messages
#   PATIENCE  for how many seconds a login is tried again that was not refused
apply() {
  need_cmd ssh openssh-client
  CHECKS_LAST="$CHECKS_LAST each_login_works"
}

each_login_works() {
  local login from alias until_time
  until_time=$(($(date +%s) + PATIENCE))
  for login in $LOGINS; do
    from=${login%%,*}
    alias=${login#*,}
    alias=${alias%,*}
    until log_in "$from" "$alias"; do
      case $SAID in
        *"ost key verification failed"*)
          fail "'ssh $alias' of '$from' does not lead to $INSIDE, since the forward '${login##*,}' leads to another host key; name a forward to its own sshd in 'via', or, if $INSIDE has new host keys, change 'revision', and run 'pulumi up' again"
          ;;
      esac
      is_temporary && [ "$(date +%s)" -lt "$until_time" ] ||
        fail "'ssh $alias' of '$from' does not get in: ${SAID:-there is no answer in time}; 'journalctl -u ssh -u sshd' on $INSIDE says why"
      sleep 3 # sshd counts connections without a login (PerSourcePenalties)
    done
    say "works: $HOST: 'ssh $alias' of '$from'"
  done
}

# log_in FROM ALIAS — otherwise sets SAID, the last that ssh has said. It says so in a file that has no name any more, and not
# in a pipe: what the account has ssh start may stay, with that open.
log_in() {
  local file said
  find_account "$1"
  file=$(mktemp /run/ssh-reverse-tunnel.XXXXXX)
  exec 3<>"$file"
  rm -f -- "$file"
  (
    ulimit -f 2048 # of 512 bytes, or 1024 in bash
    as_typed "$FOUND_IDS" "$FOUND_HOME" timeout 20 \
      ssh -T -o BatchMode=yes -o LogLevel=VERBOSE -s "$2" login-check@ssh-reverse-tunnel >&3 2>&1 </dev/null
  ) || :
  said=$(head -c 65536 /dev/fd/3 | tr -d '\0\r')
  exec 3<&-
  case $said in *"subsystem request failed"*) return 0 ;; esac
  SAID=$(printf '%s\n' "$said" | sed '/^ *$/d; /^Transferred: /d; /^Bytes per second: /d; s/\.$//' | tail -n 1 | printable 1)
  case $said in *"with partial success"*) ;; *) return 1 ;; esac
  warn "$INSIDE takes the key of 'ssh $2', and then wants more (AuthenticationMethods), so '$1' cannot log in unattended"
}

# Whether it may work in a moment: sshd has said neither yes nor no.
is_temporary() {
  case $SAID in *"ermission denied"* | *"oo many authentication failures"* | *"open failed"* | *"open refused"*) return 1 ;; esac
}
