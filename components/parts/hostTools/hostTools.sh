# shellcheck shell=sh
# Puts the tools of all other scripts on this host: library, parts and programs, in a folder that is named after what is in
# it. Several stacks and versions have theirs beside each other; "$STATE/$OWNER/.tools" names the folder of one stack.
#   TOOLS_FOLDER  where such folders are, "/opt/ssh-reverse-tunnel"
#   HASH          SHA-256 of all that is in it
#   UNTIL_LAST    yes where they go with the stack's last record here, since nobody can come after that
#   UNPACKED      the folder that holds them now, beside their place; empty where they are there: see installTools.sh
apply() {
  local folder pointer
  case ,$(findmnt -nro OPTIONS -T "$TOOLS_FOLDER" 2>/dev/null), in
    *,noexec,*) fail "$TOOLS_FOLDER is on a file system that programs cannot run from (noexec); choose another toolsDirectory" ;;
  esac
  folder=$TOOLS_FOLDER/$HASH
  if ! is_whole "$folder"; then
    [ -n "$UNPACKED" ] || unpack # another stack's last run has just taken them away
    # shellcheck disable=SC2046  # names without spaces
    sync_file $(find "$UNPACKED")
    rm -rf -- "$folder" && mv -T -- "$UNPACKED" "$folder" || cannot "write $folder" "$folder"
    changed "installed the tools in $folder"
  fi
  label_all "$folder"
  sync_file "$TOOLS_FOLDER"
  pointer=$folder${UNTIL_LAST:+"${NL}until the last record"}$(earlier_folders)
  if [ "$(cat -- "$TOOLS_FILE" 2>/dev/null)" != "$pointer" ]; then
    (umask 077 && mkdir -p -- "$STATE/$OWNER" && printf '%s\n' "$pointer" >"$TOOLS_FILE.new") && sync_file "$TOOLS_FILE.new" &&
      mv -f -- "$TOOLS_FILE.new" "$TOOLS_FILE" || {
      rm -f -- "$TOOLS_FILE.new"
      cannot "write $TOOLS_FILE" "$TOOLS_FILE"
    }
    changed "uses the tools in $folder"
  fi
  each_tools_folder drop_unused_tools <"$TOOLS_FILE"
}

# One line "folder …" each, a newline before it: by earlier settings, and still there, since programs of ours are in them.
earlier_folders() {
  [ ! -f "$TOOLS_FILE" ] || each_tools_folder print_if_earlier <"$TOOLS_FILE"
}

print_if_earlier() { [ "$1" = "$TOOLS_FOLDER" ] || [ ! -d "$1" ] || printf '\nfolder %s' "$1"; }

label_all() {
  label "$TOOLS_FOLDER"
  [ "$SELINUX" = no ] || restorecon -R -- "$1" 9<&- || warn "restorecon could not label $1"
}

# replaces that of record.sh
takes_tools() { :; }

# replaces that of lines.sh: also what a run has left that was killed, and what this one has installed where it fails.
clear_work() {
  [ -z "$UNPACKED" ] || rm -rf -- "$UNPACKED"
  # shellcheck disable=SC2031
  [ -z "$LOCKED" ] || drop_unused_tools "$TOOLS_FOLDER"
}
