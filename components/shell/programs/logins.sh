# shellcheck shell=sh
# When each tunnel was last connected, from where, and whether it has tried since: what sshd says of that in the journal. Its
# files are root's, so a check needs no more rights to read them. Kept is a line for each tunnel, with tabs between its fields:
#   tunnel since address port seen attempts tries tried
# the time of the login that it is, or was last, connected by, and its client's address, and port while it is; when it was last
# seen connected; how many logins there were, accepted and refused; how many were refused since then, and when the last one.
# Before it are up to nine lines "tunnel since address port" of other logins whose connections are there. The first line has the
# place in the journal up to which it has been read.

# find_logins — writes that to new/logins. Sets LOGINS_CHANGED where something has happened to a tunnel. Somebody who only fails
# to log in makes as many lines as sshd lets him, so what comes after 20000 is for the next run; and he chooses nothing in a
# line but the user's name, which is in the middle of it.
LOGINS_CHANGED=
find_logins() {
  local list tunnels more kept cursor tunnel
  [ -n "${STATE_DIRECTORY-}" ] || return 0
  [ -f logins ] && [ ! -L logins ] || {
    rm -rf logins
    cp -- "$STATE_DIRECTORY/logins" logins 2>/dev/null || : >logins
  }
  kept=$NL$(tr -d '\0' <logins)
  tunnels='' more=''
  for list in "$lists"/*; do
    case ${list##*/} in *[!a-z0-9-]*) continue ;; esac
    case $kept in
      *"$NL${list##*/}$TAB"*) tunnels="$tunnels ${list##*/}" ;;
      *) more="$more ${list##*/}" ;;
    esac
  done
  cursor=$(cursor_in logins)
  read_logins "$tunnels" "${cursor:+--after-cursor=}${cursor:---lines=20000}" >new/logins
  case $? in 0) ;; 10) LOGINS_CHANGED=yes ;; *) rm -f new/logins && return ;; esac
  # A journal that is too slow to be read that far back: only what comes from now on is known.
  [ -n "$(cursor_in new/logins)" ] || read_logins "$tunnels" --lines=1 >new/logins || :
  # A tunnel may have connected before its list was there. Up to the same place: what comes later is read in the next run.
  cursor=$(cursor_in new/logins)
  [ -n "$more" ] && [ -n "$cursor" ] || return 0
  kept=$(read_logins "$more" --lines=20000 "$cursor")
  case $? in
    0 | 10) printf '%s\n' "$kept" | sed 1d ;;
    11) for tunnel in $more; do unknown "$tunnel"; done ;;
    *) return 0 ;;
  esac >>new/logins
  LOGINS_CHANGED=yes
}

# unknown TUNNEL — the line of one that nothing is known of.
unknown() { printf '%s\t-\t-\t-\t-\t-\t-\t-\n' "$1"; }

cursor_in() { awk -F "$TAB" 'NR == 1 && $2 ~ /^[A-Za-z0-9=;-]+$/ { print $2 }' "$1"; }

# read_logins TUNNELS WHERE [LAST] — prints what is kept of these and what the journal has from there on; ends with 10 if that is
# new. LAST is the last place to read, and where that does not come, this fails, with 11 if reading takes too long. A connection
# is a socket of root's: others can have one to the same address and port.
read_logins() {
  {
    cat logins
    {
      timeout 10 journalctl -q --system -o json --output-fields=MESSAGE "$2" \
        _UID=0 SYSLOG_IDENTIFIER=sshd SYSLOG_IDENTIFIER=sshd-session 2>/dev/null
      [ "$?" != 124 ] || echo slow
    } | head -n 20000
    ss -Htne state established 2>/dev/null
  } | LC_ALL=C awk -v tunnels="$1" -v last="${3-}" -v now="$now" '
    function value(name,   v) { # no quote in it: one in a message ends it too soon for the pattern of a whole line
      if (!match($0, "\"" name "\" ?: ?\"[^\"]*\"")) return ""
      v = substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4)
      sub(/^ ?:? ?"/, "", v)
      return v
    }
    function seconds(t) { return t ~ /^[0-9]+$/ ? substr(t, 1, length(t) - 6) : now }
    BEGIN { FS = "\t"; n = split(tunnels, order, " "); for (i = 1; i <= n; i++) known[order[i]] }
    /^\{.*\}$/ {
      if (ended) next
      cursor = value("__CURSOR")
      ended = last != "" && cursor == last
      at = seconds(value("__REALTIME_TIMESTAMP"))
      message = value("MESSAGE")
      if (message ~ /^Accepted publickey for tunnel-[a-z0-9-]+ from [0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)? port [0-9]+ ssh2(:|$)/) {
        split(message, w, " ")
        t = substr(w[4], 8)
        if (!(t in known)) next
        login[t, ++logins[t]] = at "\t" w[6] "\t" w[8]
        attempts[t]++
        tries[t] = 0
        tried[t] = "-"
        changed = 1
      } else if (sub(/^(Connection (closed|reset) by|Disconnected from|Disconnecting) (authenticating|invalid) user tunnel-/, "", message) &&
        message ~ /^[a-z0-9-]+ [0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)? port [0-9]+(: .*)? \[preauth\]$/) {
        split(message, w, " ")
        t = w[1]
        if (!(t in known)) next
        attempts[t]++
        tries[t]++
        tried[t] = at
        changed = 1
      }
      next
    }
    NR == 1 && $1 == "" { cursor = $2; next }
    $0 == "slow" { slow = 1; next }
    NF == 4 {
      if ($1 in known) login[$1, ++logins[$1]] = $2 "\t" $3 "\t" $4
      next
    }
    NF == 8 {
      if (!($1 in known)) { changed = 1; next }
      before[$1] = $2 "\t" $3 "\t" $4
      if ($2 != "-") login[$1, ++logins[$1]] = before[$1]
      if ($6 == "-") next
      seen[$1] = $5; attempts[$1] = $6; tries[$1] = $7; tried[$1] = $8
      next
    }
    { # of ss
      if (/ uid:/) next
      split($0, w, " ")
      gsub(/[][]/, "", w[4])
      sub(/^::ffff:/, "", w[4])
      established[w[4]]
    }
    END {
      if (last != "" && !ended) exit slow ? 11 : 1
      printf "\t%s\n", cursor
      for (i = 1; i <= n; i++) {
        t = order[i]
        if (!(t in attempts)) {
          print t "\t-\t-\t-\t-\t-\t-\t-"
          continue
        }
        is = others = ""
        for (j = logins[t]; j > 0 && there < 10; j--) { # a login beside the connection, which tries a key, may be over by now
          split(login[t, j], w, "\t")
          if (!((w[2] ":" w[3]) in established)) continue
          there++
          if (is == "") is = login[t, j]
          else others = t "\t" login[t, j] "\n" others
        }
        there = 0
        if (is != "") { # somebody who fails to log in meanwhile is not the tunnel
          seen[t] = now
          tries[t] = 0
          tried[t] = "-"
        } else {
          is = logins[t] ? login[t, logins[t]] : "-\t-\t-"
          split(is, w, "\t")
          if (is != before[t] || seen[t] == "") seen[t] = w[1]
          sub(/[^\t]*$/, "-", is)
          if (is != before[t]) changed = 1
        }
        printf "%s%s\t%s\t%s\t%d\t%d\t%s\n", others, t, is, seen[t], attempts[t], tries[t], (tried[t] == "" ? "-" : tried[t])
      }
      exit changed ? 10 : 0
    }'
}

# keep_logins — for the time after a boot. On the disk only if something has happened, or if it is ten minutes old.
keep_logins() {
  [ -n "${STATE_DIRECTORY-}" ] && [ -f logins ] || return 0
  [ -n "$LOGINS_CHANGED" ] || [ -z "$(find "$STATE_DIRECTORY/logins" -mmin -10 2>/dev/null)" ] || return 0
  cp -- logins "$STATE_DIRECTORY/logins.new" && mv -f -- "$STATE_DIRECTORY/logins.new" "$STATE_DIRECTORY/logins" ||
    rm -f -- "$STATE_DIRECTORY/logins.new"
}
