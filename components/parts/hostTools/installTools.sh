# shellcheck shell=sh
# needs: messages
# Unpacks the tools beside their place, unless they are there, and lets them install themselves: hostTools.sh is one of them.
# It comes first on a host, so it has nothing of the library but its messages.
#   TOOLS_FOLDER HASH  see hostTools.sh
#   PACK               a script that writes all files, compressed (gzip) and in base64
unpack() {
  UNPACKED=$TOOLS_FOLDER/.$HASH.$$
  need_cmd gzip
  need_cmd base64 coreutils
  # Another removal, which has the lock, may just take the empty folder away.
  make_unpacked || make_unpacked || make_unpacked ||
    fail "cannot write in $TOOLS_FOLDER; make room there, or choose another toolsDirectory, and run 'pulumi up' again"
  refuse_other_keepers # of what was not there before, too
  printf '%s' "$PACK" | base64 -d | gzip -d | (umask 022 && cd -- "$UNPACKED" && sh) && is_whole "$UNPACKED" || {
    rm -rf -- "$UNPACKED"
    rmdir -- "$TOOLS_FOLDER" 2>/dev/null || :
    fail "cannot write the tools to $UNPACKED; see the lines before this one, make room there, and run 'pulumi up' again"
  }
}

make_unpacked() { (umask 022 && mkdir -p -- "$TOOLS_FOLDER" && rm -rf -- "$UNPACKED" && mkdir -- "$UNPACKED"); }

# is_whole FOLDER — whether it holds exactly these tools.
is_whole() { [ -d "$1" ] && [ "$(LC_ALL=C && export LC_ALL && cat -- "$1"/*/* 2>/dev/null | sha256sum)" = "$HASH  -" ]; }

# Root runs what is in this folder, so nobody else may be able to put anything there, or to rename a folder on the way.
refuse_other_keepers() {
  local other
  need_cmd namei util-linux
  other=$(namei -om -- "$TOOLS_FOLDER" | awk '
    $1 ~ /^[dl]/ && ($2 != "root" || $1 ~ /^d.......w/ || ($1 ~ /^d....w/ && $3 != "root")) { print "\"" $4 "\" (" $2 ":" $3 ", " $1 ")"; exit }')
  [ -z "$other" ] ||
    fail "somebody else than root could change the tools in $TOOLS_FOLDER, by the folder $other; choose another toolsDirectory, or make that folder root's alone"
}

read_tools() { cat -- "$tools/lib/library.sh" "$tools/parts/hostTools.sh"; }

# As the loader, sets tools, the folder that library and part are read from.
install_tools() {
  local text
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  # The stack's last record here may have taken them away, with the folder that named them.
  [ "${1-}" != remove ] || [ -d "$TOOLS_FOLDER" ] || [ -d "/var/lib/ssh-reverse-tunnel/$OWNER" ] || exit 0
  need_cmd sha256sum coreutils
  refuse_other_keepers
  UNPACKED=
  tools=$TOOLS_FOLDER/$HASH
  # In one go: another removal may just take them away.
  text=$(is_whole "$tools" && read_tools 2>/dev/null) || {
    unpack
    tools=$UNPACKED
    text=$(read_tools)
  }
  eval "$text"
  apply_parts() { apply; }
  main "$@"
}

install_tools "$@"
