# shellcheck shell=sh
# What every command on a host runs after its header of values: it reads the library from the tools that HostTools has put
# there, which then reads the parts. No path is among the values, so other tools are no other command.
#   HOST OWNER RESOURCE RECORDS  see lib.sh
# It sets tools, the folder of the tools, for the library: a loader of an earlier version reads a later library.
# shellcheck disable=SC1091  # what it reads is checked as parts of each script
load() {
  STATE=/var/lib/ssh-reverse-tunnel
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  read -r tools 2>/dev/null <"$STATE/$OWNER/.tools" || tools=
  is_whole_and_root || {
    # Nothing of it is on record, so there is nothing to remove.
    if [ "${1-}" = remove ] && ! has_record; then exit 0; fi
    no_tools
  }
  . "$tools/lib/library.sh"
  main "$@"
}

has_record() {
  local record
  for record in ${RECORDS-$RESOURCE}; do
    [ ! -e "$STATE/$OWNER/$record" ] || return 0
  done
  return 1
}

# The last part of the name is the SHA-256 of all that is in it. And root runs it, so nobody else may be able to say where
# it is, or to change it after this look.
is_whole_and_root() {
  case $tools in /*/*) ;; *) return 1 ;; esac
  [ "$(LC_ALL=C && export LC_ALL && cat -- "$tools"/*/* 2>/dev/null | sha256sum)" = "${tools##*/}  -" ] &&
    [ -z "$(namei -om -- "$STATE/$OWNER/.tools" "$tools" | awk '
      $1 ~ /^[-dl]/ && ($2 != "root" || $1 ~ /^[-d].......w[^tT]/ || ($1 ~ /^[-d]....w/ && $3 != "root"))')" ]
}

no_tools() {
  printf "error: %s: the tools of this project are not on this host, or not as they were installed; choose another revision and run 'pulumi up', which installs them\n" "$HOST" >&2
  exit 3
}

load "$@"
