# shellcheck shell=sh
# Prints what the header says, each value ended by NUL.
#   A B C
apply() { printf '%s\0' "$A" "$B" "$C"; }
