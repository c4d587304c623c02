# shellcheck shell=sh
# Succeeds only when each forward works from here: the internal host's SSH banner comes back through it, or, for
# another protocol, its listener accepts. Changes nothing, so others may change the host meanwhile.
#   FORWARDS  each as in forwards.sh
#   SECONDS_TO_WAIT
#   LOOK_AT   what to look at where it fails
#   ACCOUNT   that the tunnel logs in as here
apply() {
  need_cmd bash
  WAITS_FOR="each_forward_works $WAITS_FOR" # others look at it only then
}

each_forward_works() {
  local forward until_time
  until_time=$(($(date +%s) + SECONDS_TO_WAIT))
  for forward in $FORWARDS; do
    split_forward "$forward"
    until good; do
      [ "$(date +%s)" -lt "$until_time" ] || {
        case $TROUBLE in "nothing accepts"*) say_what_sshd_said ;; esac
        fail "$TROUBLE: the forward '$NAME' did not come up in ${SECONDS_TO_WAIT}s; look at $LOOK_AT"
      }
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

# say_what_sshd_said — the last few lines of sshd's, and of the PAM modules it asks, from connections of this very account.
# Some of them do not name it, so those of the same process count; after the login, that is one of the account's own.
say_what_sshd_said() {
  local uid seconds said last
  uid=$(id -u "$ACCOUNT" 2>/dev/null) || uid=none
  seconds=$((SECONDS_TO_WAIT + 60))
  said=$(journalctl -q -o export --output-fields=MESSAGE,_PID,_UID --since "-${seconds}s" -n 5000 \
    SYSLOG_IDENTIFIER=sshd SYSLOG_IDENTIFIER=sshd-session _UID=0 _UID="$uid" 2>/dev/null |
    awk -v account="$ACCOUNT" -v uid="$uid" '
      /^MESSAGE=/ { text = substr($0, 9, 300) }
      /^_PID=/ { pid = substr($0, 6) }
      /^_UID=/ { owner = substr($0, 6) }
      $0 == "" {
        texts[++n] = text
        pids[n] = pid
        if (owner == uid || (" " text " ") ~ ("[^a-z0-9_-]" account "[^a-z0-9_-]")) its[pid]
        text = pid = owner = ""
      }
      END {
        for (; n > 0 && kept < 5; n--) {
          if (!(pids[n] in its)) continue
          same = texts[n]
          gsub(/port [0-9]+/, "port", same)
          if (!(same in seen)) last[++kept] = texts[n]
          seen[same]
        }
        for (; kept > 0; kept--) print last[kept]
      }' | printable 5 "note: $HOST: sshd said: ")
  if [ -n "$said" ]; then
    printf '%s\n' "$said" >&2
  elif ! last=$(journalctl -q -o cat -n 1 2>/dev/null) || [ -z "$last" ]; then
    say "note: $HOST: what sshd said about '$ACCOUNT' is not known, since journalctl shows nothing here; look where the logs of sshd go"
  else
    say "note: $HOST: sshd has said nothing about '$ACCOUNT' for ${seconds}s: the tunnel has not tried to log in"
  fi
}
