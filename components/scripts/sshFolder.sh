# shellcheck shell=sh
# Where everything of ours below an account's ~/.ssh lies.

# ssh_folder ACCOUNT — makes ~/.ssh and ~/.ssh/ssh-reverse-tunnel; sets IDS (uid:gid), SSH_DIR and FOLDER.
ssh_folder() {
  IDS=$(ids_of_user "$1")
  SSH_DIR=$(home_of_user "$1")/.ssh
  FOLDER=$SSH_DIR/ssh-reverse-tunnel
  # ssh_config(5), TOKENS: ssh replaces them in the names of its files after it has put the home there.
  case $SSH_DIR in
    *%* | *"\${"*) fail "ssh cannot read keys from $SSH_DIR, since it takes what follows '%' and '\${' in it for a token; rename that home, or let another account do this" ;;
  esac
  make_dir "$SSH_DIR" 700 "$IDS"
  make_dir "$FOLDER" 700 "$IDS"
}
