# shellcheck shell=sh
# Ends the sessions of an account whose key is refused from now on: sshd looks at a key only during a login.
#   ACCOUNT
apply() { ! end_processes "$ACCOUNT" || changed "ended the sessions of $ACCOUNT"; }
