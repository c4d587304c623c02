# shellcheck shell=sh
# A Host entry in a file of its own, included from the first line of the account's ~/.ssh/config: an Include
# further down would fall under somebody's Host or Match.
#   ACCOUNT FILE ENTRY
apply() {
  ssh_folder "$ACCOUNT"
  write_file "$FOLDER/$FILE" 600 "$(known_to_ssh "$ENTRY")"
  add_line "$SSH_DIR/config" 600 "Include ssh-reverse-tunnel/*.conf"
}
