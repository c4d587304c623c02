# shellcheck shell=sh
# Whom AllowUsers, DenyUsers, AllowGroups and DenyGroups keep out. sshd -T prints these lists, and does not say.

# kept_out USER GROUPS ADDRESS HOST <settings — which of the four lists of sshd -T keeps that login out, "denyusers"; nothing
# if none does. GROUPS is one a line. If nobody knows the ADDRESS, it is empty, and a pattern with a host keeps nobody out.
# As allowed_user in sshd's auth.c and match_user in match.c: only a list of hosts has commas, negations and networks, and
# the host counts as a name and as an address.
kept_out() {
  NAME=$1 GROUPS_OF_NAME=$2 ADDRESS=$3 FROM=$4 awk '
    function glob(text, pattern, first, i) {
      if (pattern == "") return text == ""
      first = substr(pattern, 1, 1)
      if (first != "*")
        return text != "" && (first == "?" || first == substr(text, 1, 1)) && glob(substr(text, 2), substr(pattern, 2))
      sub(/^\*+/, "", pattern)
      for (i = 1; i <= length(text) + 1; i++) if (glob(substr(text, i), pattern)) return 1
      return 0
    }

    function hex(groups, part, count, i, all) {
      count = split(groups, part, ":")
      for (i = 1; i <= count; i++) all = all substr("0000" part[i], length(part[i]) + 1)
      return all
    }

    function bits(address, part, gap, head, tail, all, i) {
      address = tolower(address)
      if (address ~ /^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/) {
        split(address, part, ".")
        address = sprintf("%02x%02x%02x%02x", part[1], part[2], part[3], part[4])
      } else if (address ~ /^[0-9a-f:]*:[0-9a-f:]*$/) {
        head = hex(address)
        if (gap = index(address, "::")) {
          head = hex(substr(address, 1, gap - 1))
          tail = hex(substr(address, gap + 2))
          while (length(head tail) < 32) head = head "0"
        }
        address = head tail
        if (length(address) != 32) return ""
      } else return ""
      for (i = 1; i <= length(address); i++)
        all = all substr("0000000100100011010001010110011110001001101010111100110111101111", 4 * index("0123456789abcdef", substr(address, i, 1)) - 3, 4)
      return all
    }

    function in_network(network, slash, net, size) {
      slash = index(network "/", "/")
      net = bits(substr(network, 1, slash - 1))
      if (net == "") return glob(ENVIRON["ADDRESS"], network)
      size = slash > length(network) ? length(net) : substr(network, slash + 1)
      return length(net) == length(own) && substr(net, 1, size) == substr(own, 1, size)
    }

    function from(hosts, list, count, i, host, no, found) {
      count = split(hosts, list, ",")
      for (i = 1; i <= count; i++) {
        host = list[i]
        no = sub(/^!/, "", host)
        if (!in_network(host) && !glob(tolower(ENVIRON["FROM"]), tolower(host))) continue
        if (no) return 0
        found = 1
      }
      return found
    }

    function is_listed(pattern, unknown, host) {
      if (pattern !~ /@/) return glob(ENVIRON["NAME"], pattern)
      host = pattern
      sub(/.*@/, "", host)
      if (!glob(ENVIRON["NAME"], substr(pattern, 1, length(pattern) - length(host) - 1))) return 0
      return ENVIRON["ADDRESS"] == "" && host != "*" ? unknown : from(host)
    }

    function has_listed(pattern, i) {
      for (i = 1; i <= groups; i++) if (glob(group[i], pattern)) return 1
      return 0
    }

    BEGIN {
      groups = split(ENVIRON["GROUPS_OF_NAME"], group, "\n")
      own = ENVIRON["ADDRESS"]
      sub(/%.*/, "", own)
      own = bits(own)
    }
    { pattern = substr($0, length($1) + 2) }
    $1 == "denyusers" && is_listed(pattern, 0) { denied = 1 }
    $1 == "allowusers" { named = 1; if (is_listed(pattern, 1)) allowed = 1 }
    $1 == "denygroups" && has_listed(pattern) { group_denied = 1 }
    $1 == "allowgroups" { group_named = 1; if (has_listed(pattern)) group_allowed = 1 }
    END {
      if (denied) print "denyusers"
      else if (named && !allowed) print "allowusers"
      else if (group_denied) print "denygroups"
      else if (group_named && !group_allowed) print "allowgroups"
    }'
}

# groups_of_user USER — their names, one a line. A name may have spaces.
groups_of_user() {
  local gid
  for gid in $(id -G -- "$1"); do getent group "$gid" | cut -d: -f1; done
}
