#!/bin/sh
# Finds what keep-alives do not see: the connection is alive and a forward of it leads nowhere. Then the tunnel, and
# only it, is ended; systemd starts it again.
#   watchdog HOST_ALIAS RUNTIME_DIRECTORY NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT…
set -u
alias=$1
runtime=$2
shift 2

restart() {
  echo "<4>$1; restarting the tunnel"
  kill "$pid"
  exit 0
}

pid=$(cat "$runtime/pid" 2>/dev/null) || exit 0
grep -q '^Name:[[:space:]]*ssh$' "/proc/$pid/status" 2>/dev/null || exit 0

if ! timeout 10 ssh -S "$runtime/control" -O check "$alias" 2>/dev/null; then
  # A tunnel that is only just connecting has no control socket yet.
  age=$(($(date +%s) - $(stat -c %Y "$runtime/pid")))
  [ "$age" -lt 30 ] || restart "ssh does not answer on its control socket"
  exit 0
fi

for forward; do
  IFS=, read -r name address port protocol target_host target_port <<EOF
$forward
EOF
  [ "$protocol" = ssh ] || continue
  case $address in *:*) address="[$address]" ;; esac
  case $(timeout 10 ssh -S "$runtime/control" -o ClearAllForwardings=yes -W "$address:$port" "$alias" </dev/null 2>/dev/null | head -c 4) in
    SSH-) continue ;;
  esac
  # A target that is down here is no fault of the tunnel.
  # shellcheck disable=SC2016
  case $(timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/$2" && read -r -t 3 -n 4 start <&3 && echo "$start"' bash "$target_host" "$target_port" 2>/dev/null) in
    SSH-) restart "the forward '$name' ($address:$port) brings nothing back" ;;
    *) echo "<4>$target_host:$target_port, the target of the forward '$name', does not answer; the tunnel is left alone" ;;
  esac
done
