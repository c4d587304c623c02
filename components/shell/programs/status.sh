#!/bin/sh
# Shows the state of the tunnels that begin or end on this host, from what their checks have kept (state.sh). Needs no
# rights.
# needs: reasons
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
RUN=/run
UNITS=/etc/systemd/system
LISTS=/etc/ssh-reverse-tunnel
TAB=$(printf '\t')

help() {
  cat <<EOT
usage: ssh-tunnel-status [--json] [TUNNEL…]

How the reverse SSH tunnels are that begin or end on this host: each forward, where it
listens on the public host and where it leads to on the internal one, since when it is up
or down, and when it was last seen to work. "unknown": its check has not run as it should.
"disabled": the settings say so.

Exit status: 0 all are up or disabled, 1 one is not, 2 wrong usage, or there is no such tunnel here.
EOT
}

complain() {
  echo "ssh-tunnel-status: $*" >&2
  FAILED=2
}

FAILED=0
format=table
wanted=
for argument; do
  case $argument in
    --help | -h) help && exit 0 ;;
    --json) format=json ;;
    -*) complain "there is no option '$argument'; see --help" && exit 2 ;;
    *) wanted="$wanted $argument" ;;
  esac
done

# gather — the lines that a check has kept of each tunnel here, or one that says that it has kept none; each ends with the
# state of the service.
gather() {
  local timer check tunnel service list word
  for timer in "$UNITS"/ssh-tunnel-*-watchdog.timer; do
    [ -e "$timer" ] || continue
    check=${timer##*/}
    check=${check%.timer}
    tunnel=${check#ssh-tunnel-}
    tunnel=${tunnel%-watchdog}
    is_wanted "$tunnel" || continue
    service=$(systemctl show -p ActiveState -p MainPID -p UnitFileState "ssh-tunnel-$tunnel.service" 2>/dev/null |
      awk -F = -v OFS="$TAB" '{ v[$1] = $2 } END {
        if (v["ActiveState"] == "inactive" && v["UnitFileState"] == "disabled") v["ActiveState"] = "disabled"
        print v["ActiveState"] ? v["ActiveState"] : "-", v["MainPID"] ? v["MainPID"] : "-" }')
    print_kept "$tunnel" internal "$RUN/$check/state" "$service"
  done
  # Each tunnel has a list there, which its health check reads (health.sh).
  for list in "$LISTS"/ssh-tunnels-*-health/*; do
    [ -e "$list" ] || continue
    tunnel=${list##*/}
    case $tunnel in *[!a-z0-9-]*) continue ;; esac
    is_wanted "$tunnel" || continue
    check=${list%/*}
    service=-
    if read -r word <"$list" && [ "$word" = disabled ]; then service=disabled; fi 2>/dev/null
    print_kept "$tunnel" public "$RUN/${check##*/}/$tunnel.state" "$service$TAB-"
  done
}

# is_wanted TUNNEL
is_wanted() { case "$wanted " in " " | *" $1 "*) ;; *) return 1 ;; esac }

# print_kept TUNNEL SIDE FILE SERVICE — another account decides what a check has found, so nothing in it may upset a
# terminal or JSON.
print_kept() {
  if [ "${4%"$TAB"*}" != disabled ] && [ -f "$3" ] && [ ! -L "$3" ] && [ -s "$3" ]; then
    head -c 65536 "$3" | tr -d '\000-\010\013-\037\177-\377'
  else
    echo "-$TAB-$TAB-$TAB-$TAB-$TAB-$TAB-$TAB-$TAB-$TAB-$TAB-${TAB}not-checked"
  fi | TUNNEL=$1 SIDE=$2 SERVICE=$4 awk -F "$TAB" -v OFS="$TAB" \
    'NF == 12 || NF == 13 { for (i = NF + 1; i <= 18; i++) $i = "-" } # of an earlier version
    NF == 18 { $1 = ENVIRON["TUNNEL"]; $2 = ENVIRON["SIDE"]; print $0, ENVIRON["SERVICE"] }'
}

lines=$(gather)
for tunnel in $wanted; do
  case "
$lines" in
    *"
$tunnel$TAB"*) ;;
    *) complain "there is no tunnel '$tunnel' on this host" ;;
  esac
done
[ -n "$lines$wanted" ] || complain "there is no tunnel on this host"

# Whether somebody could be told of it (notify.sh).
failing=
for unit in "$UNITS"/ssh-tunnels-*-notify.service; do
  [ -e "$unit" ] || continue
  unit=${unit##*/}
  case $(systemctl show -p ExecMainStatus --value "$unit" 2>/dev/null) in 0 | "") ;; *) failing="$failing ${unit%.service}" ;; esac
done

printf '%s\n' "$lines" | HOST=$(uname -n) FAILING=$failing awk -F "$TAB" -v now="$(date +%s)" -v format="$format" "$REASON_WORDS"'
  function is_number(t) { return t ~ /^[0-9]+$/ && length(t) < 12 }
  function utc(t, between,   z, e, o, y, d, m) { # a day since 1970 as a date: "days from civil", the other way round
    z = int(t / 86400) + 719468
    e = int(z / 146097)
    o = z % 146097
    y = int((o - int(o / 1460) + int(o / 36524) - int(o / 146096)) / 365)
    d = o - (365 * y + int(y / 4) - int(y / 100))
    m = int((5 * d + 2) / 153)
    d = d - int((153 * m + 2) / 5) + 1
    m = m < 10 ? m + 3 : m - 9
    t = t % 86400
    return sprintf("%04d-%02d-%02d%s%02d:%02d:%02dZ", y + e * 400 + (m <= 2), m, d, between,
      int(t / 3600), int(t % 3600 / 60), t % 60)
  }
  function age(t) {
    t = now - t
    if (t < 0) t = 0
    return t < 120 ? t " s" : t < 7200 ? int(t / 60) " min" : t < 172800 ? int(t / 3600) " h" : int(t / 86400) " d"
  }
  function text(t) {
    if (t == "-") return "null"
    gsub(/["\\]/, "\\\\&", t)
    return "\"" t "\""
  }
  function time(t) { return is_number(t) ? "\"" utc(t, "T") "\"" : "null" }
  function count(t) { return is_number(t) ? t + 0 : "null" }
  function number(t) { return is_number(t) && t > 0 ? t + 0 : "null" }

  NF == 20 {
    made = is_number($13) ? $13 : "-"
    n++
    f[n, 17] = $14
    f[n, 18] = is_number($15) ? $15 : "-"
    f[n, 19] = length($16) < 64 && $16 ~ /^[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?$/ ? $16 : "-"
    f[n, 20] = $17
    f[n, 21] = $18
    $13 = $19
    $14 = $20
    most = is_number($3) && 3 * $3 > 30 ? 3 * $3 : 30 # what has not run three times in a row tells nothing of now
    why = is_reason($12) ? words($12, $8) : "-"
    if (why == "-") $12 = "-"
    if ($13 == "disabled") {
      $9 = "disabled"
      $12 = "-"
      why = "-"
    } else if (!is_number($4)) {
      $9 = "unknown"
      $12 = "not-checked"
      why = "its check has not run yet"
    } else if (now - $4 > most || $4 - now > most) {
      $9 = "unknown"
      $12 = "check-late"
      why = "its check has not run for " age($4)
    } else if ($2 == "internal" && $13 != "active" && $13 != "-") {
      if ($9 == "up") $10 = "-"
      $9 = "down"
      $12 = "service-down"
      why = "ssh-tunnel-" $1 ".service is " $13
    } else if ($9 != "up" && $9 != "down") $9 = "unknown"
    if ($9 == "unknown" || $9 == "disabled") $5 = $10 = "-"
    if ($9 != "up" && $9 != "disabled") worst = 1
    for (i = 1; i <= 14; i++) f[n, i] = $i
    f[n, 15] = why
    f[n, 16] = made
  }

  function table(   i, j, width, cell, row, any, other, shown) {
    split("TUNNEL FORWARD LISTENS LEADS_TO STATE SINCE LAST_GOOD", cell, " ")
    for (j = 1; j <= 7; j++) { c[0, j] = cell[j]; sub(/_/, " ", c[0, j]) }
    for (i = 1; i <= n; i++) {
      c[i, 1] = f[i, 1]; c[i, 2] = f[i, 6]; c[i, 3] = f[i, 7]; c[i, 4] = f[i, 8]; c[i, 5] = f[i, 9]
      c[i, 6] = is_number(f[i, 10]) ? utc(f[i, 10], " ") : "-"
      c[i, 7] = is_number(f[i, 11]) ? age(f[i, 11]) " ago" : "-"
      c[i, 8] = f[i, 15] == "-" ? "" : f[i, 15]
    }
    for (i = 0; i <= n; i++) for (j = 1; j <= 7; j++) if (length(c[i, j]) > width[j]) width[j] = length(c[i, j])
    for (i = 0; i <= n; i++) {
      row = ""
      for (j = 1; j <= 8; j++) row = row sprintf("%-" (width[j] + 2) "s", c[i, j])
      sub(/ +$/, "", row)
      print row
    }
    for (i = 1; i <= n; i++) if (f[i, 2] == "internal" && f[i, 13] != "-" && f[i, 1] != any) {
      any = f[i, 1]
      print "ssh-tunnel-" any ".service: " f[i, 13] (f[i, 14] > 0 ? ", pid " f[i, 14] : "") \
        (is_number(f[i, 5]) && f[i, 13] == "active" ? ", connected since " utc(f[i, 5], " ") : "") \
        (f[i, 16] == "-" ? "" : ", key made " age(f[i, 16]) " ago")
    }
    for (i = 1; i <= n; i++) if (f[i, 2] == "public" && f[i, 16] != "-" && f[i, 1] != other) {
      other = f[i, 1]
      print "logins to " other ": oldest key made " age(f[i, 16]) " ago"
    }
    for (i = 1; i <= n; i++) if (has_connection(i) && f[i, 1] != shown) {
      shown = f[i, 1]
      print shown ": " connection(i)
    }
  }

  function has_connection(i) { return f[i, 2] == "public" && (f[i, 18] != "-" || is_number(f[i, 20])) } # sshd may have said nothing in the journal
  function connection(i,   last) {
    if (is_number(f[i, 5])) return "connected since " utc(f[i, 5], " ") " from " f[i, 19]
    last = f[i, 18] == "-" ? "no connection is known" : "last connected " utc(f[i, 18], " ") " from " f[i, 19]
    if (!is_number(f[i, 20])) return last
    if (f[i, 20] == 0) return last "; no attempt to log in since"
    return last "; " f[i, 20] " attempt" (f[i, 20] == 1 ? "" : "s") " since, the last " age(f[i, 21]) " ago"
  }

  function json(   i, j, state, unit) {
    printf "{\"host\":%s,\"time\":%s,\"tunnels\":[", text(ENVIRON["HOST"]), time(now)
    for (i = 1; i <= n; i = j) {
      state = "up"
      for (j = i; j <= n && f[j, 1] == f[i, 1] && f[j, 2] == f[i, 2]; j++)
        if (f[j, 9] == "down" || state == "up") state = f[j, 9]
      printf "%s{\"tunnel\":%s,\"side\":%s,\"state\":%s,\"checked\":%s,\"intervalSec\":%s,\"keyCreated\":%s,\"service\":", \
        (i > 1 ? "," : ""), text(f[i, 1]), text(f[i, 2]), text(state), time(f[i, 4]), number(f[i, 3]), time(f[i, 16])
      if (f[i, 2] == "internal" && f[i, 13] != "-")
        printf "{\"state\":%s,\"pid\":%s,\"connectedSince\":%s,\"restarts\":%s}", text(f[i, 13]), number(f[i, 14]), \
          (f[i, 13] == "active" ? time(f[i, 5]) : "null"), count(f[i, 17])
      else printf "null"
      printf ",\"connection\":"
      if (has_connection(i))
        printf "{\"connectedSince\":%s,\"lastConnected\":%s,\"address\":%s,\"attemptsSince\":%s,\"lastAttempt\":%s}", \
          time(f[i, 5]), time(f[i, 18]), text(f[i, 19]), count(f[i, 20]), time(f[i, 21])
      else printf "null"
      printf ",\"forwards\":["
      for (j = i; j <= n && f[j, 1] == f[i, 1] && f[j, 2] == f[i, 2]; j++)
        if (f[j, 6] != "-") printf "%s{\"forward\":%s,\"listens\":%s,\"leadsTo\":%s,\"state\":%s,\"since\":%s,\"lastGood\":%s,\"reason\":%s,\"code\":%s}", \
          (j > i ? "," : ""), text(f[j, 6]), text(f[j, 7]), text(f[j, 8]), text(f[j, 9]), time(f[j, 10]), time(f[j, 11]), text(f[j, 15]), text(name_of(f[j, 12]))
      printf "]}"
    }
    printf "],\"failedNotifications\":["
    n = split(ENVIRON["FAILING"], unit, " ")
    for (i = 1; i <= n; i++) printf "%s%s", (i > 1 ? "," : ""), text(unit[i])
    print "]}"
  }
  END {
    if (format == "json") json()
    else if (n) table()
    exit worst
  }' || [ "$FAILED" != 0 ] || FAILED=1
[ "$format" = json ] || for unit in $failing; do echo "notifications fail; see journalctl -u $unit"; done
exit "$FAILED"
