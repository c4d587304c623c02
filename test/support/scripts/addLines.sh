# shellcheck shell=sh
# Lines in a file, and then a command.
#   FILE
#   LINES  one a line
#   THEN   the command
apply() {
  while IFS= read -r line <&4; do
    [ -z "$line" ] || add_line "$FILE" 600 "$line"
  done 4<<EOF
$LINES
EOF
  eval "$THEN"
}
