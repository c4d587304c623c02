#!/bin/sh
# Finds what keep-alives do not see: the connection is alive and a forward of it leads nowhere. Then the tunnel, and
# only it, is ended; systemd starts it again.
#   watchdog mend HOST_ALIAS RUNTIME_DIRECTORY NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT…
#   watchdog check …    only looks: succeeds where the connection and each of its listeners are there
set -u
mode=$1
alias=$2
runtime=$3
shift 3

restart() {
  [ "$mode" = mend ] || exit 1
  echo "<4>$1; restarting the tunnel"
  kill "$pid"
  exit 0
}

# A tunnel that is not up, or only just connecting, is systemd's to mend.
not_up() {
  [ "$mode" = mend ] || exit 1
  exit 0
}

pid=$(cat "$runtime/pid" 2>/dev/null) || not_up
grep -q '^Name:[[:space:]]*ssh$' "/proc/$pid/status" 2>/dev/null || not_up

if ! timeout 10 ssh -S "$runtime/control" -O check "$alias" 2>/dev/null; then
  # A tunnel that is only just connecting has no control socket yet.
  age=$(($(date +%s) - $(stat -c %Y "$runtime/pid")))
  [ "$age" -lt 30 ] || restart "ssh does not answer on its control socket"
  not_up
fi

# through ADDRESS PORT — what comes back over the tunnel's own connection; fails where nothing listens there.
through() {
  timeout 10 ssh -S "$runtime/control" -o ClearAllForwardings=yes -W "$1:$2" "$alias" </dev/null 2>/dev/null
}

for forward; do
  IFS=, read -r name address port protocol target_host target_port <<EOF
$forward
EOF
  case $address in *:*) address="[$address]" ;; esac
  if [ "$protocol" != ssh ]; then
    # 124: it listens, and the target behind it is silent.
    [ "$mode" = mend ] || through "$address" "$port" >/dev/null || [ $? = 124 ] || exit 1
    continue
  fi
  case $(through "$address" "$port" | head -c 4) in
    SSH-) continue ;;
  esac
  # A target that is down here is no fault of the tunnel.
  # shellcheck disable=SC2016
  case $(timeout 5 bash --norc -c 'exec 3<>"/dev/tcp/$1/$2" && read -r -t 3 -n 4 start <&3 && echo "$start"' bash "$target_host" "$target_port" 2>/dev/null) in
    SSH-) restart "the forward '$name' ($address:$port) brings nothing back" ;;
    *) echo "<4>$target_host:$target_port, the target of the forward '$name', does not answer; the tunnel is left alone" ;;
  esac
done
