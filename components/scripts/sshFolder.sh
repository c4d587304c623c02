# shellcheck shell=sh
# Where everything of ours below an account's ~/.ssh lies.

# ssh_folder ACCOUNT — makes ~/.ssh and ~/.ssh/ssh-reverse-tunnel; sets IDS (uid:gid), SSH_DIR and FOLDER.
ssh_folder() {
  IDS=$(ids_of_user "$1")
  SSH_DIR=$(home_of_user "$1")/.ssh
  FOLDER=$SSH_DIR/ssh-reverse-tunnel
  make_dir "$SSH_DIR" 700 "$IDS"
  make_dir "$FOLDER" 700 "$IDS"
}
