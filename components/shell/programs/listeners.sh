# shellcheck shell=sh
# What listens on a public host, and what that says of the forwards: the kernel knows whose each listener is, so that no
# connection to it is needed, which would be one to the forward's target.

# list_listeners — "ADDRESS PORT USER" for each, as list_sockets says it. What is in no local list of users has a number.
list_listeners() {
  list_sockets | LC_ALL=C awk '
    FILENAME == ARGV[1] { split($0, f, ":"); if (f[1] ~ /^[A-Za-z0-9_.-]+$/) user[f[3]] = f[1]; next }
    { print $1, $2, ($3 in user ? user[$3] : $3) }' /etc/passwd -
}

# judge — for each line "LISTEN PORT USER WORD…" before the empty one, what the listeners after it, as above, make of a
# forward of that user's: "VERDICT WORD…". A verdict is "-" if it listens, "taken:USER" if somebody else does, even on one of
# several addresses only, and "no-listener". sshd listens on IPv4 and on IPv6 each by itself, or on one alone where it has only
# that, so a "*" of its own is its "::", of which ss did not know better. (is_at: whether a listener there is the forward's, or
# keeps it from there.)
# shellcheck disable=SC2317  # not everyone needs both
judge() {
  LC_ALL=C awk '
    function canonical(a,   i, n, group) {
      gsub(/[][]/, "", a)
      if (a !~ /:/) return a
      if (a ~ /^::/) a = "0" a
      if (a ~ /::$/) a = a "0"
      while (gsub(/:/, ":", a) < 7 && a ~ /::/) sub(/::/, ":0::", a)
      sub(/::/, ":0:", a)
      n = split(tolower(a), group, ":")
      a = ""
      for (i = 1; i <= n; i++) {
        sub(/^0+/, "", group[i])
        a = a ":" (group[i] == "" ? 0 : group[i])
      }
      return a
    }
    function is_any(a) { return a == "*" || a == "0.0.0.0" || a == "::" }
    function is_at(a, listen, family) {
      if (a != "*" && (a ~ /:/ ? 6 : 4) != family) return 0
      return is_any(a) || is_any(listen) || canonical(a) == canonical(listen)
    }
    function verdict(listen, port, user,   i, a, family, ours, theirs, found) {
      if (listen == "loopback") listen = "127.0.0.1"
      if (listen == "all") listen = "*"
      found = "no-listener"
      for (family = 4; family <= 6; family += 2) {
        if (listen != "*" && (listen ~ /:/ ? 6 : 4) != family) continue
        ours = theirs = ""
        for (i = 1; i <= n; i++) {
          if (at[i] != port || !is_at(address[i], listen, family)) continue
          if (whose[i] != user) theirs = whose[i]
          else if (address[i] != "*" || family == 6) ours = 1
        }
        if (theirs != "" && !ours) return "taken:" theirs
        if (ours) found = "-"
      }
      return found
    }
    !listeners && $0 == "" { listeners = 1; next }
    !listeners { line[++asked] = $0; next }
    NF == 3 && length($3) < 40 && $3 ~ /^[A-Za-z0-9_.-]+$/ { n++; address[n] = $1; gsub(/[][]/, "", address[n]); at[n] = $2; whose[n] = $3 }
    END {
      for (i = 1; i <= asked; i++) {
        split(line[i], f, " ")
        rest = line[i]
        sub(/^[^ ]* [^ ]* [^ ]* /, "", rest)
        print verdict(f[1], f[2], f[3]), rest
      }
    }'
}
