#!/bin/sh
# Looks at each forward of a tunnel from the public host, and says in the journal when one goes up or down.
#   health TUNNEL NAME,ADDRESS,PORT,PROTOCOL…
set -u
tunnel=$1
shift

# shellcheck disable=SC2016
state_of() {
  timeout 5 bash --norc -c '
    exec 3<>"/dev/tcp/$1/$2" || exit 1
    [ "$3" = ssh ] || exit 0
    IFS= read -r -t 3 -n 4 start <&3
    [ "$start" = SSH- ]' bash "$1" "$2" "$3" 2>/dev/null && echo up || echo down
}

for forward; do
  IFS=, read -r name address port protocol <<EOF
$forward
EOF
  now=$(state_of "$address" "$port" "$protocol")
  before=$(cat "$RUNTIME_DIRECTORY/$name" 2>/dev/null) || before=unknown
  [ "$now" != "$before" ] || continue
  echo "$now" >"$RUNTIME_DIRECTORY/$name"
  if [ "$now" = up ]; then level=5; else level=4; fi
  echo "<$level>tunnel $tunnel: forward '$name' on $address:$port is $now (was $before)"
done
