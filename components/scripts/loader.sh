# shellcheck shell=sh
# What every command on a host runs after its header of values: it reads library and part from the tools that HostTools has
# put there. No path is among the values, so other tools are no other command.
#   HOST OWNER RESOURCE  see lib.sh
#   PART LIBRARY         the part, and what it needs of the library, in order
#   TEXTS                VARIABLE=program, for the texts of programs that the part puts somewhere
# shellcheck disable=SC1090  # what it reads is checked as parts of each script
load() {
  STATE=/var/lib/ssh-reverse-tunnel
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  read -r tools 2>/dev/null <"$STATE/$OWNER/.tools" || tools=
  # The last part of the name is the SHA-256 of all that is in it.
  case $tools in
    /*/*) [ "$(LC_ALL=C && export LC_ALL && cat -- "$tools"/*/* 2>/dev/null | sha256sum)" = "${tools##*/}  -" ] || tools= ;;
    *) tools= ;;
  esac
  if [ -z "$tools" ]; then
    # Nothing of it is on record, so there is nothing to remove.
    if [ "${1-}" = remove ] && [ ! -e "$STATE/$OWNER/$RESOURCE" ]; then exit 0; fi
    printf "error: %s: the tools of this project are not on this host, or not as they were installed; choose another revision and run 'pulumi up', which installs them\n" "$HOST" >&2
    exit 3
  fi
  for lo_part in $LIBRARY; do . "$tools/lib/$lo_part.sh"; done
  for lo_text in $TEXTS; do eval "${lo_text%%=*}=\$(cat -- \"\$tools/bin/\${lo_text#*=}\")"; done
  . "$tools/parts/$PART.sh"
}

load "$@"
