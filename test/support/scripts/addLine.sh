# shellcheck shell=sh
# needs: record files lines
# One line in a file, as an account's script does it, but as whoever runs the test.
#   FILE LINE WHERE
#   END  what the line is found again by; empty: by being the same
as() {
  shift
  "$@"
}

apply() {
  if [ -n "$END" ]; then
    add_line "$FILE" "$(id -u):$(id -g)" 600 "$WHERE" "$LINE" "$END"
  else
    add_line "$FILE" "$(id -u):$(id -g)" 600 "$WHERE" "$LINE"
  fi
}

main "$@"
