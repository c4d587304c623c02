# shellcheck shell=sh
# Accounts that neither this stack nor another has made, in places that are for tunnel accounts alone.
#   GROUP  the group of the tunnel accounts

# refuse_strangers_in_group — ends the script if somebody else is a member, by primary group or otherwise.
refuse_strangers_in_group() {
  local gid members first others
  gid=$(getent group "$GROUP" | cut -d: -f3)
  members=$(getent group "$GROUP" | cut -d: -f4 | tr , '\n')
  first=$(getent passwd | awk -F : -v gid="$gid" 'gid != "" && $4 == gid { print $1 }')
  others=$(not_ours "$members$NL$first")
  [ -z "$others" ] ||
    fail "the group '$GROUP' is for the tunnels' accounts, and it has other members: $others; take them out of it, or give that group another name with 'groupmod --new-name NAME $GROUP', and run 'pulumi up' again"
}

# refuse_strangers_named PREFIX — ends the script if the name of somebody else's account begins with it.
refuse_strangers_named() {
  local others
  others=$(not_ours "$(getent passwd | cut -d: -f1 | grep "^$1")")
  [ -z "$others" ] ||
    fail "sshd takes every account '$1*' for a tunnel's, which AllowUsers allows and whose own keys do not count, but there are others: $others; give them other names with 'usermod --login NAME', and run 'pulumi up' again"
}

# not_ours ACCOUNTS — those that are on no record, in one line for a message.
not_ours() {
  local account
  printf '%s\n' "$1" | sort -u | while read -r account; do
    [ -z "$account" ] || recorded user "$account" || recorded_elsewhere user "$account" ||
      printf '%s\n' "$account"
  done | paste -sd ' ' -
}
