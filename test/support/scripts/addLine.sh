# shellcheck shell=sh
# One line in a file, as an account's script does it.
#   FILE LINE
#   KEY MARKER  of a line of authorized_keys; empty: the line is found again by being the same
apply() {
  if [ -n "$KEY" ]; then
    add_key "$FILE" 600 "$LINE" "$KEY" "$MARKER"
  else
    add_line "$FILE" 600 "$LINE"
  fi
}
