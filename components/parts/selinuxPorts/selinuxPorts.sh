# shellcheck shell=sh
# Lets sshd listen on a tunnel's ports where SELinux is enabled: each gets the type ssh_port_t.
#   PORTS            one a line, as with_ports takes them
#   INSTALL_PACKAGE  yes where a missing semanage may be installed
apply() {
  local port
  PORTS=$(with_ports "$PORTS")
  if ! command -v selinuxenabled >/dev/null 2>&1 || ! selinuxenabled; then
    say "note: $HOST: SELinux is not enabled here; ports need no type"
    keep_recorded
    return 0
  fi
  need_semanage
  ALL_ENTRIES=$(semanage port -l -n 9<&-) || fail "semanage cannot list the ports of the SELinux policy; see the lines before this one"
  read_own_entries
  for port in $(printf '%s\n' "$PORTS" | sort -u); do
    type_port "$port"
  done
}

# What an earlier run typed while SELinux was enabled stays on record until it is enabled again or removed.
keep_recorded() {
  local port before
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
  local own now before
  own=$(entry_of "$1" "$OWN_ENTRIES")
  now=${own:-$(entry_of "$1" "$ALL_ENTRIES")}
  before=$(type_before "$1")
  if [ "${now% *}" = ssh_port_t ]; then
    [ -z "$before" ] || own seport "$1 $before"
    return 0
  fi
  case $own in
    *-*) fail "port $1 is in the range ${own#* } that has the SELinux type ${own% *} by 'semanage port', which takes no single port out of a range; choose a port outside of it, or divide it by hand" ;;
    "") own seport "$1 ${before:-none}" ;;
    *) own seport "$1 ${before:-${own% *}}" ;;
  esac
  if [ "${now#* }" = "$1" ]; then
    semanage port -m -t ssh_port_t -p tcp "$1" 9<&-
  else # in a range of the policy's, or in none
    semanage port -a -t ssh_port_t -p tcp "$1" 9<&-
  fi || fail "semanage cannot give port $1 the type ssh_port_t"
  changed "gave port $1 the SELinux type ssh_port_t (it was ${now:-of no type of its own})"
}

# The type on record to go back to, ours or, since forwards on other addresses may have the same port, another's: a
# type, or "none" where the entry is to be deleted.
type_before() {
  printf '%s' "$RECORDED$OTHERS" | awk -F "$TAB" -v port="$1" '$1 == "seport" { split($2, p, " "); if (p[1] == port) { print p[2]; exit } }'
}
