#!/bin/sh
# Tells somebody when a tunnel goes down on this public host and when it is back, and when its check no longer runs, from what
# the health check keeps (state.sh). The command of the administrator does so, once for each change that has lasted.
#   notify LISTS STATES DELAY COMMAND   folders of the health check; seconds for which a change must have lasted
# In $STATE_DIRECTORY, "told" has a line for each forward, its fields with a tab between them:
#   tunnel forward told state since tries tried message
# told is the state that was told last; the forward "-" stands for the check of the tunnel, which is "known" or "unknown".
# tries counts those that have failed for this change, tried is the time of the last one.
# needs: reasons
set -u
LC_ALL=C
export LC_ALL
TAB=$(printf '\t')
NL='
'
lists=$1
states=$2
delay=$3
command=$4

# gather — what the check keeps of each tunnel that is to be checked, or its name alone.
gather() {
  local list tunnel word
  for list in "$lists"/*; do
    tunnel=${list##*/}
    case $tunnel in *[!a-z0-9-]*) continue ;; esac
    word=
    [ ! -f "$list" ] || read -r word _ <"$list" || :
    [ "$word" = interval ] || continue
    if [ -s "$states/$tunnel.state" ]; then set -- "$@" "$states/$tunnel.state"; else echo "$tunnel"; fi
  done
  [ "$#" = 0 ] || cat -- "$@" 2>/dev/null
}

# find_changes — prints what is to be kept, as in "told" but with the number of the message that is due in the last field, or 0;
# then with a "!" before it what is due: number, tunnels, forwards, state, since, code, reason and message. What has happened to
# several is one message.
find_changes() {
  awk -F "$TAB" -v OFS="$TAB" -v now="$(date +%s)" -v delay="$delay" -v host="$(uname -n | tr -cd 'A-Za-z0-9.-')" "$REASON_WORDS"'
    function is_number(t) { return t ~ /^[0-9]+$/ && length(t) < 12 }
    function is_over(t, seconds) { return now - t >= seconds || t - now > 60 } # or the clock was fast then
    function consider(t, f, state, since, code, reason,   k, wait, pause) { # of a tunnel, and a forward of it
      k = t OFS f
      if (k in line) return
      if (!(k in told)) told[k] = f == "-" ? "known" : "up"
      if (saw[k] != state) {
        saw[k] = state
        from[k] = since
        tries[k] = tried[k] = 0
      }
      if (f != "-") from[k] = since
      line[k] = ++n
      name[n] = k
      wait = f == "-" && delay < 60 ? 60 : delay # after a boot, the check needs a moment
      pause = tries[k] > 7 ? 3600 : tries[k] ? 15 * 2 ^ tries[k] : 0
      if (state != told[k] && is_over(from[k], wait) && is_over(tried[k], pause)) {
        due[n] = f == "-" && state == "unknown" ? state : t OFS state OFS code
        code_of[n] = code
        why[n] = reason
      }
    }
    FILENAME == "told" {
      if (NF == 8) {
        k = $1 OFS $2
        told[k] = $3; saw[k] = $4; from[k] = $5; tries[k] = $6; tried[k] = $7
        of[k] = $1
      }
      next
    }
    {
      most = is_number($3) && 3 * $3 > 30 ? 3 * $3 : 30 # as in ssh-tunnel-status
      late = NF < 12 || !is_number($4) || now - $4 > most || $4 - now > most
      consider($1, "-", late ? "unknown" : "known", late && NF >= 12 && is_number($4) ? $4 : now, late ? "check-late" : "-", \
        late ? "its check does not run" : "-")
      is_late[$1] = late
      if (!late && $6 ~ /^[a-z][a-z0-9-]*$/ && ($9 == "up" || $9 == "down") && is_number($10)) {
        if ($9 == "down") is_down[$1] = 1
        consider($1, $6, $9, $10, is_reason($12) ? name_of($12) : "-", is_reason($12) ? words($12, $8) : "-")
      }
    }
    END {
      for (k in told) if (!(k in line) && is_late[of[k]]) { # nothing new is known of these
        line[k] = ++n
        name[n] = k
      }
      for (i = 1; i <= n; i++) {
        k = name[i]
        split(k, id, OFS)
        number = 0
        if (i in due) {
          g = due[i]
          if (!(g in group)) {
            group[g] = ++groups
            tunnels[groups] = id[1]
            forwards[groups] = id[2]
            state[groups] = saw[k]
            if (saw[k] == "known") state[groups] = is_down[id[1]] ? "down" : "up"
            since[groups] = from[k]
            code[groups] = code_of[i]
            reason[groups] = why[i]
            check[groups] = id[2] == "-" ? saw[k] : ""
          } else {
            if (check[group[g]]) tunnels[group[g]] = tunnels[group[g]] " " id[1]
            else forwards[group[g]] = forwards[group[g]] " " id[2]
            if (from[k] < since[group[g]]) since[group[g]] = from[k]
          }
          number = group[g]
        }
        print k, told[k], saw[k], from[k], tries[k], tried[k], number
      }
      for (g = 1; g <= groups; g++) {
        text = host ": tunnel " tunnels[g] ": "
        if (check[g] == "unknown") text = text "unknown, " reason[g]
        else if (check[g]) text = text "checked again, and " state[g]
        else text = text "forward " forwards[g] " is " state[g] (state[g] == "up" ? " again" : reason[g] == "-" ? "" : ": " reason[g])
        print "!" g, tunnels[g], forwards[g], state[g], since[g], code[g], reason[g], text
      }
    }' told -
}

# tell TUNNEL FORWARD STATE SINCE CODE REASON MESSAGE — runs the command. If it fails, the journal gets a few lines of what it
# said, which may not be more than text.
tell() {
  local status
  status=0
  SECRET_FILE=${CREDENTIALS_DIRECTORY:+$CREDENTIALS_DIRECTORY/secret} \
    TUNNEL=$1 FORWARD=$2 STATE=$3 SINCE=$4 CODE=$5 REASON=$6 MESSAGE="$7 (since $4)" \
    timeout -k 5 60 "$command" </dev/null >/dev/null 2>said || status=$?
  [ "$status" != 0 ] || return 0
  echo "<4>could not tell '$7': the command ended with status $status; it is tried again"
  head -c 2000 said | tr -cd '\n -~' | tail -n 3 | sed 's/^/<4>the command said: /'
  return 1
}

# settle NUMBER TOLD — keeps whether that message was told, yes or no.
settle() {
  awk -F "$TAB" -v OFS="$TAB" -v number="$1" -v ok="$2" -v now="$(date +%s)" '
    $8 == number && ok == "yes" { $3 = $4; $6 = $7 = $8 = 0 }
    $8 == number && ok == "no" { $6++; $7 = now; $8 = 0 }
    { print }' told >new && keep
}

# keep — what has been written to "new", over a power cut as well.
keep() { { sync new 2>/dev/null || :; } && mv -f new told; }

cd "$STATE_DIRECTORY" || exit 1
[ -f told ] || : >told
found=$(gather | find_changes) || exit 1
kept=$(printf '%s\n' "$found" | grep -v '^!')
due=$(printf '%s\n' "$found" | sed -n 's/^!//p')
# Every time it runs, but on the disk only what has changed.
[ "$kept" = "$(cat told)" ] || { printf '%s' "${kept:+$kept$NL}" >new && keep; } || exit 1
while IFS=$TAB read -r number tunnels forwards state since code reason message <&3; do
  [ -n "$number" ] || continue
  [ "$forwards" != - ] || forwards=
  [ "$code" != - ] || code=
  [ "$reason" != - ] || reason=
  if tell "$tunnels" "$forwards" "$state" "$(date -u -d "@$since" +%Y-%m-%dT%H:%M:%SZ)" "$code" "$reason" "$message"; then
    echo "<5>told: $message"
    settle "$number" yes
  else
    settle "$number" no
  fi
done 3<<EOF
$due
EOF
# For ssh-tunnel-status, and no failure of this unit.
! awk -F "$TAB" '$6 > 0 { waits = 1 } END { exit !waits }' told || exit 75
