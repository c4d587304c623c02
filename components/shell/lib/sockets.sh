# shellcheck shell=sh
# What listens on this host, by ss(8).

# list_sockets [OPTION…] — "ADDRESS PORT UID" of each TCP listener, and with -p also "PIDS NAME" if they are known: commas are
# between the PIDS, and NAME is whatever the program calls itself, in 15 characters at most, which are too few to look like a
# second program, or, with a line break in them, like a second listener. ADDRESS has no brackets and no interface, since a
# listener of one interface is in the way of one without. It is "*" for every address of both families, "::" for those of
# IPv6 alone (IPV6_V6ONLY, ipv6(7)), and one of IPv4 for an IPv4-mapped one. If ss does not know which, as in a sandbox
# without netlink, "*" and "::" count as both families.
# shellcheck disable=SC2120  # only root asks for the programs
list_sockets() {
  ss -Hltne "$@" 2>/dev/null | LC_ALL=C awk '
    $1 != "LISTEN" || $4 !~ /:[0-9]+$/ { next }
    {
      rest = $0
      for (i = 0; i < 5; i++) sub(/^[^ ]+ +/, "", rest)
      pids = name = ""
      if (match(rest, /^users:\(\("[^"]*",pid=[0-9]+,fd=[0-9]+\)(,\("[^"]*",pid=[0-9]+,fd=[0-9]+\))*\)/)) {
        users = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        name = substr(users, 10)
        sub(/".*/, "", name)
        for (; match(users, /",pid=[0-9]+/); users = substr(users, RSTART + RLENGTH))
          pids = pids (pids == "" ? "" : ",") substr(users, RSTART + 6, RLENGTH - 6)
      } else if (rest ~ /^users:/) rest = ""
      uid = match(" " rest, / uid:[0-9]+/) ? substr(rest, RSTART + 4, RLENGTH - 5) : 0
      port = $4
      sub(/.*:/, "", port)
      address = substr($4, 1, length($4) - length(port) - 1)
      sub(/%.*/, "", address)
      gsub(/[][]/, "", address)
      sub(/^::ffff:/, "", address)
      if (address == "::" && " " rest " " !~ / v6only:1 /) address = "*"
      print address, port, uid (pids == "" && name == "" ? "" : " " pids " " name)
    }'
}
