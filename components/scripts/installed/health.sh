#!/bin/sh
# Looks at each forward of a tunnel from the public host, and keeps what it finds; the journal hears of changes.
#   health keep TUNNEL NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT,LISTEN…
#   health look …       only prints it: as the account
# needs: reasons state
set -u
mode=$1
tunnel=$2
shift 2

# A listener whose target is down accepts, and closes at once.
# shellcheck disable=SC2016
look() {
  split "$1"
  timeout 5 bash --norc -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    if [ "$3" = ssh ]; then
      IFS= read -r -t 3 -n 4 start <&3
      [ "$start" = SSH- ] || exit 2
    else
      IFS= read -r -t 1 -n 1 _ <&3 || [ $? -gt 128 ] || exit 2
    fi' bash "$address" "$port" "$protocol" 2>/dev/null
  case $? in
    0) finding - ;;
    2) finding nothing-back ;;
    *) finding no-listener ;;
  esac
}

if [ "$mode" = keep ]; then
  as_account "$0" look "$tunnel" "$@" | keep_state "$tunnel" public - "$@"
  exit
fi

# All at once: one that hangs holds up no other.
for forward; do look "$forward" & done
wait
