# shellcheck shell=sh
# Accounts that neither this stack nor another has made, in places that are for tunnel accounts alone.
#   GROUP  the group of the tunnel accounts

# refuse_strangers_in_group — ends the script where somebody else is in it, as his first group or besides.
refuse_strangers_in_group() {
  sg_gid=$(getent group "$GROUP" | cut -d: -f3)
  sg_members=$(getent group "$GROUP" | cut -d: -f4 | tr , '\n')
  sg_first=$(getent passwd | awk -F : -v gid="$sg_gid" 'gid != "" && $4 == gid { print $1 }')
  sg_others=$(not_ours "$sg_members$NL$sg_first")
  [ -z "$sg_others" ] ||
    fail "the group '$GROUP' is for the tunnels' accounts, and it has other members: $sg_others; take them out of it, or give that group another name with 'groupmod --new-name NAME $GROUP', and run 'pulumi up' again"
}

# refuse_strangers_named PREFIX — ends the script where somebody else has a name that begins so.
refuse_strangers_named() {
  sn_others=$(not_ours "$(getent passwd | cut -d: -f1 | grep "^$1")")
  [ -z "$sn_others" ] ||
    fail "sshd takes every account '$1*' for a tunnel's, which AllowUsers allows and whose own keys do not count, but there are others: $sn_others; give them other names with 'usermod --login NAME', and run 'pulumi up' again"
}

# not_ours ACCOUNTS — those that are on no record, for a message.
not_ours() {
  printf '%s\n' "$1" | sort -u | while read -r no_account; do
    [ -z "$no_account" ] || recorded user "$no_account" || recorded_elsewhere user "$no_account" ||
      printf '%s\n' "$no_account"
  done | paste -sd ' ' -
}
