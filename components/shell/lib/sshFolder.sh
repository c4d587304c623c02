# shellcheck shell=sh
# All that is ours below an account's ~/.ssh is in one folder.

# ssh_folder ACCOUNT — makes ~/.ssh and ~/.ssh/ssh-reverse-tunnel; sets SSH_DIR and FOLDER, both PLACEs.
ssh_folder() {
  SSH_DIR="~$1/.ssh"
  FOLDER=$SSH_DIR/ssh-reverse-tunnel
  locate "$SSH_DIR"
  # ssh_config(5), TOKENS: ssh replaces them in the names of its files after it has put the home there.
  case $AT_PATH in
    *%* | *"\${"*) fail "ssh cannot read keys from $AT_PATH, since it takes what follows '%' and '\${' in it for a token; rename that home, or let another account do this" ;;
  esac
  own_ssh_dir "$1"
  make_dir "$FOLDER" 700
  refuse_link "$FOLDER"
}

# own_ssh_dir ACCOUNT — ~/.ssh, which belongs to the account even if root keeps the home.
own_ssh_dir() {
  locate "~$1/.ssh"
  passing dir "~$1/.ssh.ssh-reverse-tunnel"
  if [ "$AT_IDS" = "$HOME_IDS" ] || [ -d "$AT_PATH" ]; then
    make_dir "~$1/.ssh" 700
  else
    share dir "~$1/.ssh" no
    # Under another name until it belongs to the account, which can go in and out from then on.
    recorded dir "~$1/.ssh.ssh-reverse-tunnel" || write_record "${RECORDED}dir$TAB~$1/.ssh.ssh-reverse-tunnel$NL"
    rmdir -- "$AT_PATH.ssh-reverse-tunnel" 2>/dev/null || :
    mkdir -m 700 -- "$AT_PATH.ssh-reverse-tunnel" &&
      chown -h "$HOME_IDS" -- "$AT_PATH.ssh-reverse-tunnel" && mv -T -- "$AT_PATH.ssh-reverse-tunnel" "$AT_PATH" ||
      cannot "create the folder $AT_PATH" "$AT_PATH"
    label "~$1/.ssh"
    changed "created the folder ~$1/.ssh"
  fi
  refuse_link "~$1/.ssh"
}

# known_to_ssh ENTRY — the Host entry without the options that this host's ssh does not know. With one of those, ssh would
# read no configuration at all, for no host: IgnoreUnknown in an entry holds only where that entry does.
known_to_ssh() {
  local unknown
  unknown=$(printf '%s\n' "$1" | ssh -F /dev/stdin -G x 2>&1 >/dev/null | sed -n 's/.*Bad configuration option: //p' | tr -d '\r') || :
  printf '%s\n' "$1" | UNKNOWN=$unknown awk '
    BEGIN { n = split(tolower(ENVIRON["UNKNOWN"]), words); for (i = 1; i <= n; i++) unknown[words[i]] = 1 }
    !(tolower($1) in unknown)'
}

refuse_link() {
  ! is_behind_link "$1/." || fail "$1 is a link, or its path contains one, and keys are kept only in a folder that the account owns; put a folder in its place, or choose another account"
}
