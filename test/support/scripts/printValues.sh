# shellcheck shell=sh
# needs: record files lines sshFolder units status trial session sshdAccess
# Prints what the header says, each value ended by NUL.
#   A B C
# shellcheck disable=SC2034
LOCK=no

apply() { printf '%s\0' "$A" "$B" "$C"; }

sweep() { :; }

main "$@"
