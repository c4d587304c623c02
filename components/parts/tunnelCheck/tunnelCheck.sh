# shellcheck shell=sh
# Succeeds only when each forward works from here: the internal host's SSH banner comes back through it, or, for
# another protocol, its listener accepts. Changes nothing, so others may change the host meanwhile.
#   FORWARDS  each as in forwards.sh
#   SECONDS_TO_WAIT
#   LOOK_AT   what to look at where it fails
apply() {
  need_cmd bash
  WAITS_FOR=each_forward_works
}

each_forward_works() {
  local forward until_time
  until_time=$(($(date +%s) + SECONDS_TO_WAIT))
  for forward in $FORWARDS; do
    split_forward "$forward"
    until good; do
      [ "$(date +%s)" -lt "$until_time" ] ||
        fail "$TROUBLE: the forward '$NAME' did not come up in ${SECONDS_TO_WAIT}s; look at $LOOK_AT"
      sleep 0.2
    done
    say "works: $HOST: forward '$NAME' on $ADDRESS:$PORT: $FOUND_THERE"
  done
}

# good — sets FOUND_THERE, or TROUBLE, in words.
good() {
  local answer
  answer=$(through "$ADDRESS" "$PORT" "$PROTOCOL") || {
    TROUBLE="nothing accepts connections on $ADDRESS:$PORT"
    return 1
  }
  if [ "$PROTOCOL" = ssh ]; then
    TROUBLE="$ADDRESS:$PORT accepts, but no SSH banner comes back from $LEADS_TO"
    case $answer in SSH-*) ;; *) return 1 ;; esac
    FOUND_THERE=$(printf '%s\n' "$answer" | printable 1)
  elif [ "$answer" = closed ]; then
    FOUND_THERE="the listener accepts"
    warn "the forward '$NAME' closes each connection at once: $LEADS_TO does not answer on the internal host"
  else
    FOUND_THERE="the listener accepts"
  fi
}

# bash opens the connection: there is no netcat everywhere, and bash is. It would read root's .bashrc, since sshd has
# started all this, and print whatever that prints. Any local user can be what answers where the tunnel is down: it may send
# anything, for ever.
# shellcheck disable=SC2016
through() {
  timeout 5 bash --norc -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    if [ "$3" = ssh ]; then
      IFS= read -r -t 3 -n 255 line <&3
      printf %s "${line%$'"'\\r'"'}"
    elif IFS= read -r -t 0.5 -n 1 _ <&3; then
      echo open
    else
      [ $? -gt 128 ] && echo open || echo closed
    fi' bash "$1" "$2" "$3" 2>/dev/null
}
