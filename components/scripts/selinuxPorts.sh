# shellcheck shell=sh
# needs: record
# Lets sshd listen on a tunnel's ports where SELinux is enabled: each gets the type ssh_port_t.
#   PORTS            numbers, one a line
#   INSTALL_PACKAGE  yes where a missing semanage may be installed
apply() {
  if ! command -v selinuxenabled >/dev/null 2>&1 || ! selinuxenabled; then
    say "note: $HOST: SELinux is not enabled here; ports need no type"
    keep_recorded
    return 0
  fi
  need_semanage
  all_entries=$(semanage port -l -n) || fail "semanage cannot list the ports of the SELinux policy; see the lines before this one"
  read_own_entries
  for port in $(printf '%s\n' "$PORTS" | sort -u); do
    type_port "$port"
  done
}

# The administrator's own, and ours. Once, since a look at the policy takes longer than all else here; a port is changed
# once in a run.
own_entries=unread
read_own_entries() {
  [ "$own_entries" != unread ] || own_entries=$(semanage port -l -n -C) ||
    fail "semanage cannot list the ports of the SELinux policy; see the lines before this one"
}

# What an earlier run typed while SELinux was enabled stays on record until it is enabled again or removed.
keep_recorded() {
  for port in $PORTS; do
    before=$(type_before "$port")
    [ -z "$before" ] || own seport "$port $before"
  done
}

need_semanage() {
  command -v semanage >/dev/null 2>&1 && return 0
  [ "$INSTALL_PACKAGE" = yes ] ||
    fail "SELinux is enabled and semanage is missing; install policycoreutils-python-utils, or allow it with 'installPackages: true'"
  say "note: $HOST: installing policycoreutils-python-utils, which provides semanage"
  if command -v dnf >/dev/null 2>&1; then
    dnf -q -y install policycoreutils-python-utils >&2
  elif command -v apt-get >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive apt-get -q -y install policycoreutils-python-utils >&2
  elif command -v yum >/dev/null 2>&1; then
    yum -q -y install policycoreutils-python-utils >&2
  else
    fail "SELinux is enabled, semanage is missing and no package manager is known here; install semanage"
  fi || fail "policycoreutils-python-utils cannot be installed; install it by hand and run 'pulumi up' again"
  changed "installed policycoreutils-python-utils (it stays on destroy)"
}

# semanage answers differently from version to version when a port is there already: on 3.4 "-a" fails, on 3.8 it
# changes the type in silence. So the type is read first.
type_port() {
  tp_own=$(entry_of "$1" "$own_entries")
  tp_now=${tp_own:-$(entry_of "$1" "$all_entries")}
  tp_before=$(type_before "$1")
  if [ "${tp_now% *}" = ssh_port_t ]; then
    [ -z "$tp_before" ] || own seport "$1 $tp_before"
    return 0
  fi
  case $tp_own in
    *-*) fail "port $1 is in the range ${tp_own#* } that has the SELinux type ${tp_own% *} by 'semanage port', which takes no single port out of a range; choose a port outside of it, or divide it by hand" ;;
    "") own seport "$1 ${tp_before:-none}" ;;
    *) own seport "$1 ${tp_before:-${tp_own% *}}" ;;
  esac
  if [ "${tp_now#* }" = "$1" ]; then
    semanage port -m -t ssh_port_t -p tcp "$1"
  else # in a range of the policy's, or in none
    semanage port -a -t ssh_port_t -p tcp "$1"
  fi || fail "semanage cannot give port $1 the type ssh_port_t"
  changed "gave port $1 the SELinux type ssh_port_t (it was ${tp_now:-of no type of its own})"
}

# entry_of PORT ENTRIES — "TYPE PORT" or "TYPE FIRST-LAST", of the entry by which this tcp port has its type: of several
# the narrowest. The administrator's own come before the policy's.
entry_of() {
  printf '%s\n' "$2" | awk -v port="$1" '
    $2 == "tcp" {
      for (i = 3; i <= NF; i++) {
        sub(/,$/, "", $i)
        last = split($i, ends, "-") > 1 ? ends[2] : ends[1]
        if (ends[1] + 0 > port + 0 || last + 0 < port + 0 || (entry && last - ends[1] >= width)) continue
        entry = $1 " " $i
        width = last - ends[1]
      }
    }
    END { if (entry) print entry }'
}

# The type on record to go back to, ours or, since forwards on other addresses may have the same port, another's: a
# type, or "none" where the entry is to be deleted.
type_before() {
  printf '%s' "$RECORDED$OTHERS" | awk -F "$TAB" -v port="$1" '$1 == "seport" { split($2, p, " "); if (p[1] == port) { print p[2]; exit } }'
}

undo_seport() {
  us_port=${1% *}
  us_before=${1#* }
  command -v semanage >/dev/null 2>&1 || return 0
  read_own_entries
  [ "$(entry_of "$us_port" "$own_entries")" = "ssh_port_t $us_port" ] || return 0
  if [ "$us_before" = none ]; then
    # For a port that the policy itself types, deleting the local entry gives the policy's type back.
    semanage port -d -p tcp "$us_port"
  else
    semanage port -m -t "$us_before" -p tcp "$us_port"
  fi || fail "semanage cannot give port $us_port back"
  changed "gave port $us_port its SELinux type back"
}

main "$@"
