# shellcheck shell=sh
# The types that ports have in the SELinux policy.

# read_own_entries — sets OWN_ENTRIES, the administrator's and ours. Once, since a look at the policy takes longer than all
# else here; a run changes a port only once.
OWN_ENTRIES=unread
read_own_entries() {
  [ "$OWN_ENTRIES" != unread ] || OWN_ENTRIES=$(semanage port -l -n -C) ||
    fail "semanage cannot list the ports of the SELinux policy; see the lines before this one"
}

# entry_of PORT ENTRIES — "TYPE PORT" or "TYPE FIRST-LAST", the entry that gives this TCP port its type: of several, the
# narrowest. The administrator's own come before the policy's.
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

kind seport "PORT TYPE_BEFORE"
undo_seport() {
  local port before
  port=${1% *}
  before=${1#* }
  command -v semanage >/dev/null 2>&1 || return 0
  read_own_entries
  [ "$(entry_of "$port" "$OWN_ENTRIES")" = "ssh_port_t $port" ] || return 0
  if [ "$before" = none ]; then
    # For a port that the policy itself types, deleting the local entry gives the policy's type back.
    semanage port -d -p tcp "$port"
  else
    semanage port -m -t "$before" -p tcp "$port"
  fi || fail "semanage cannot give port $port back"
  changed "gave port $port its SELinux type back"
}
