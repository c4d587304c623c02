# shellcheck shell=sh
# Succeeds only if each login back works: ssh logs in as whoever types the command, with all that its configuration says,
# and asks for a subsystem that does not exist. That needs a session, which sshd grants or refuses, but sshd starts nothing
# in it: no shell, no forced command, no sshrc. So it harms nothing, and it works if the account's shell is nologin.
#   LOGINS    FROM,ALIAS,FORWARD of each, one after the other
#   INSIDE    the internal host, for messages
#   PATIENCE  for how many seconds a login is tried again that was not refused
apply() {
  need_cmd ssh openssh-client
  [ -z "${KEYS_TO_PROVE-}" ] || WAITS_FOR="$WAITS_FOR prove_keys"
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
    case $UNPROVEN in
      *" $from,$alias "*)
        fail "'ssh $alias' of '$from' gets in with its earlier key alone, since $INSIDE refuses the new one; that stays as it is: 'journalctl -u ssh -u sshd' on $INSIDE says why; correct that and run 'pulumi up' again"
        ;;
    esac
    say "works: $HOST: 'ssh $alias' of '$from'"
  done
}

# prove_keys — tries each new key (KEYS_TO_PROVE, see clientConfig.sh) before the sweep takes the earlier one away. A login for
# which that fails keeps its own earlier key, and no other; UNPROVEN has a word "FROM,ALIAS" for it.
UNPROVEN=
prove_keys() {
  local login from alias until_time
  until_time=$(($(date +%s) + PATIENCE))
  for login in $LOGINS; do
    login=${login%,*}
    from=${login%%,*}
    alias=${login#*,}
    until proves_key "$from" "$alias"; do
      SAID=$HEARD
      case $HEARD in *"subsystem request failed"*) ;; *) is_temporary && [ "$(date +%s)" -lt "$until_time" ] && sleep 3 && continue ;; esac
      UNPROVEN="$UNPROVEN $login "
      keep_earlier_key "$from" "$alias"
      break
    done
  done
}

# proves_key FROM ALIAS — ssh tries an earlier key of the entry after the new one, so it must say which it got in with.
proves_key() {
  local key
  case $KEYS_TO_PROVE in *"$NL~$1/$2.conf$TAB"*) ;; *) return 0 ;; esac
  key=${KEYS_TO_PROVE#*"$NL~$1/$2.conf$TAB"}
  key=${key%%"$NL"*}
  find_account "$1"
  hear "$FOUND_IDS" "$FOUND_HOME" timeout 20 \
    ssh -v -T -o BatchMode=yes -s "$2" login-check@ssh-reverse-tunnel || :
  case $HEARD in *"Server accepts key: "*"/$key "*) ;; *) return 1 ;; esac
}

# keep_earlier_key FROM ALIAS — the sweep leaves it, and the line that names it.
keep_earlier_key() {
  local folder line
  folder="~$1/.ssh/ssh-reverse-tunnel"
  while IFS= read -r line <&4; do
    [ -n "$line" ] || continue
    MARKED="${MARKED}identity$TAB$folder/$2.conf$TAB$line$NL"
    KEPT="${KEPT}file$TAB$folder/${line##*/}${NL}file$TAB$folder/${line##*/}.pub$NL"
  done 4<<EOF
$(recorded_under "$RECORDED" identity "$folder/$2.conf")
EOF
}

# log_in FROM ALIAS — otherwise sets SAID, the last that ssh has said.
log_in() {
  find_account "$1"
  hear "$FOUND_IDS" "$FOUND_HOME" timeout 20 \
    ssh -T -o BatchMode=yes -o LogLevel=VERBOSE -s "$2" login-check@ssh-reverse-tunnel || :
  case $HEARD in *"subsystem request failed"*) return 0 ;; esac
  SAID=$(printf '%s\n' "$HEARD" | sed '/^ *$/d; /^Transferred: /d; /^Bytes per second: /d; s/\.$//' | tail -n 1 | printable 1)
  case $HEARD in *"with partial success"*) ;; *) return 1 ;; esac
  warn "$INSIDE takes the key of 'ssh $2', and then wants more (AuthenticationMethods), so '$1' cannot log in unattended"
}

# Whether it may work in a moment: sshd has said neither yes nor no.
is_temporary() {
  case $SAID in *"ermission denied"* | *"oo many authentication failures"* | *"open failed"* | *"open refused"*) return 1 ;; esac
}
