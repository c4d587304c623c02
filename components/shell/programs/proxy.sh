#!/bin/bash
# The way from this host to the public host through a proxy or a jump host: ssh starts it as its ProxyCommand, as the
# tunnel's account. bash connects by itself (/dev/tcp): no other program that every distribution has takes a password from a
# file.
#   proxy http NAME        through an HTTP proxy, by CONNECT (RFC 9110)
#   proxy socks5 NAME      through a SOCKS5 proxy (RFC 1928, 1929)
#   proxy jump HOST:PORT ALIAS   through a jump host, by its Host entry
# ~/.ssh/ssh-reverse-tunnel/NAME.proxy has the proxy's host and port, and then what to say to it. What went wrong is in the
# file "refused" of $RUNTIME_DIRECTORY, until the tunnel's program prints it; somebody who types the tunnel's name after ssh
# has none. ssh ends this when its ConnectTimeout is over.
set -u
LC_ALL=C
REFUSED=${RUNTIME_DIRECTORY:+$RUNTIME_DIRECTORY/refused}
REFUSED=${REFUSED:-/dev/null}

# refuse WORDS — some of them may be the proxy's: no control characters for a terminal.
refuse() {
  set -- "${1//[^ -~]/?}"
  echo "$1" >"$REFUSED"
  echo "$1" >&2
  exit 1
}

# open_proxy NAME — connects fd 3 to the proxy. Sets PROXY, for messages, and SAYS, the other lines of the file.
open_proxy() {
  local host port reason
  mapfile -t SAYS 2>/dev/null <~/.ssh/ssh-reverse-tunnel/"$1.proxy" || refuse "$1.proxy cannot be read"
  host=${SAYS[0]% *} port=${SAYS[0]##* }
  SAYS=("${SAYS[@]:1}")
  PROXY="the proxy $host:$port"
  echo "$PROXY does not answer" >"$REFUSED"
  if { exec 3<>"/dev/tcp/$host/$port"; } 2>>"$REFUSED"; then
    echo "$PROXY has not connected to the public host in time" >"$REFUSED"
  else
    reason=$(tail -n 1 "$REFUSED")
    refuse "$PROXY cannot be reached${reason:+ (${reason##*: })}"
  fi
}

through_http() {
  local status line
  printf '%s\r\n' "${SAYS[@]}" '' >&3
  IFS= read -r -n 1000 status <&3 || refuse "$PROXY closed the connection"
  status=${status%$'\r'}
  case $status in
    "HTTP/1."[01]" 2"[0-9][0-9]*) ;;
    "HTTP/1."[01]" 407"*) refuse "$PROXY wants another user or password ($status)" ;;
    "HTTP/1."[01]" "[0-9][0-9][0-9]*) refuse "$PROXY does not connect to the public host ($status)" ;;
    *) refuse "$PROXY is not an HTTP proxy: it answers '$status'" ;;
  esac
  while IFS= read -r -n 1000 line <&3; do
    case $line in '' | $'\r') return ;; esac
  done
  refuse "$PROXY closed the connection"
}

# octets COUNT — sets OCTETS to the numbers of the next ones.
octets() {
  local octet
  OCTETS=()
  while [ "${#OCTETS[@]}" -lt "$1" ]; do
    IFS= read -r -d '' -n 1 octet <&3 || refuse "$PROXY closed the connection"
    octet=$(printf %d "'$octet")
    OCTETS+=($((octet & 255)))
  done
}

# RFC 1928, 6.
reply_in_words() {
  case $1 in
    2) echo "not allowed by its rules" ;;
    3) echo "network unreachable" ;;
    4) echo "host unreachable" ;;
    5) echo "connection refused" ;;
    *) echo "code $1" ;;
  esac
}

through_socks5() {
  printf '%b' "${SAYS[0]}" >&3
  octets 2
  [ "${OCTETS[0]}" = 5 ] || refuse "$PROXY is not a SOCKS5 proxy"
  case ${OCTETS[1]} in
    0) ;;
    2)
      printf '%b' "${SAYS[2]}" >&3
      octets 2
      [ "${OCTETS[1]}" = 0 ] || refuse "$PROXY wants another user or password"
      ;;
    *) refuse "$PROXY wants a user and a password, or another way to log in than these" ;;
  esac
  printf '%b' "${SAYS[1]}" >&3
  octets 4
  [ "${OCTETS[1]}" = 0 ] || refuse "$PROXY does not connect to the public host ($(reply_in_words "${OCTETS[1]}"))"
  case ${OCTETS[3]} in
    1) octets 6 ;;
    4) octets 18 ;;
    *) octets 1 && octets $((OCTETS[0] + 2)) ;;
  esac
}

# relay — what ssh says goes to the proxy, and back. Only the one that writes to ssh may hold that open: its end is the end
# of the connection.
relay() {
  local reader
  : >"$REFUSED"
  trap : HUP # from ssh, which has ended: then there is nothing to read either
  cat <&3 &
  reader=$!
  exec >&3
  cat
  kill "$reader" 2>/dev/null
}

case $1 in
  jump)
    [ "$REFUSED" = /dev/null ] || exec 2>>"$REFUSED"
    exec ssh -T -S none -W "$2" "$3"
    ;;
  http | socks5)
    open_proxy "$2"
    "through_$1"
    relay
    ;;
esac
