# shellcheck shell=sh
# The other side's host keys, in a known_hosts file of their own: a login that names this file trusts these keys
# and no others, and the account's own known_hosts stays as it is.
#   ACCOUNT FILE KEYS
apply() {
  ssh_folder "$ACCOUNT"
  write_file "$FOLDER/$FILE" 644 "$KEYS"
}
