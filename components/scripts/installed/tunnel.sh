#!/bin/sh
# The tunnel itself, started by systemd as the tunnel's account.
#   tunnel HOST_ALIAS -R … [-R …]
# systemd starts this and not ssh, since RHEL's SELinux policy does not let it execute ssh.
set -u
alias=$1
shift

echo $$ >"$RUNTIME_DIRECTORY/pid"
rm -f "$RUNTIME_DIRECTORY/control"

# End our own earlier session on the public host, which may hold the port for hours after a power cut here.
# 255 is ssh's own "no connection": then the tunnel would not come up either, and systemd tries again.
timeout 30 ssh -T -o ClearAllForwardings=yes -S none "$alias" takeover
[ $? -ne 255 ] || exit 255

exec ssh -N -T -M -S "$RUNTIME_DIRECTORY/control" "$@" "$alias"
