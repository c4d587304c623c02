#!/bin/sh
# Tells somebody when a tunnel goes down on this public host and when it is back, and when its check no longer runs, from what
# the health check keeps (state.sh). The command of the administrator does so, once for each change that has lasted.
#   notify LISTS STATES DELAY COMMAND   folders of the health check; seconds for which a change must have lasted
# In $RUNTIME_DIRECTORY, "told" has a line for each forward, its fields with a tab between them:
#   tunnel forward told state since first tries tried message
# told is the state that was told last, "-" if a try has failed after which nobody knows that; the forward "-" stands for the
# check of the tunnel, which is "known" or "unknown". tries counts those for this change, each before it is made. first is when
# it was first seen here, and tried when it was last tried, in seconds since boot: nobody sets that clock. A copy in
# $STATE_DIRECTORY is for the time after a boot. A disk that is full keeps nobody from being told, nor does it repeat anything.
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

# gather — what the check keeps of each tunnel that is to be checked, or its name alone; and after a "+", which forwards it has.
gather() {
  local list tunnel word
  for list in "$lists"/*; do
    tunnel=${list##*/}
    case $tunnel in *[!a-z0-9-]*) continue ;; esac
    word=
    [ ! -f "$list" ] || read -r word _ <"$list" || :
    [ "$word" = interval ] || continue
    sed -n "s/^\([a-z][a-z0-9-]*\),.*/+$TAB$tunnel$TAB\1/p" "$list"
    if [ -s "$states/$tunnel.state" ]; then set -- "$@" "$states/$tunnel.state"; else echo "$tunnel"; fi
  done
  [ "$#" = 0 ] || cat -- "$@" 2>/dev/null
}

# find_changes — prints what is to be kept, as in "told" but with the number of the message that is due in the last field, or 0;
# then with a "!" before it what is due: number, tunnels, forwards, state, since, code, reason and message. What has happened to
# several is one message.
find_changes() {
  awk -F "$TAB" -v OFS="$TAB" -v now="$(date +%s)" -v up="$(sed 's/[^0-9].*//' /proc/uptime)" -v delay="$delay" -v host="$(uname -n | tr -cd 'A-Za-z0-9.-')" "$REASON_WORDS"'
    function is_number(t) { return t ~ /^[0-9]+$/ && length(t) < 12 }
    function is_over(t, seconds) { return up - t >= seconds || t > up } # or it was before a boot
    function consider(t, f, state, since, code, reason, least,   k, pause) { # of a tunnel, and a forward of it
      k = t OFS f
      if (k in line) return
      if (!(k in told)) told[k] = f == "-" ? "known" : "up"
      if (saw[k] != state) {
        if (tries[k]) told[k] = "-" # it may have reached somebody
        saw[k] = state
        from[k] = since
        first[k] = up
        tries[k] = tried[k] = 0
      }
      if (first[k] > up) first[k] = up
      if (f != "-") from[k] = since
      line[k] = ++n
      name[n] = k
      pause = tries[k] > 7 ? 3600 : tries[k] ? 15 * 2 ^ tries[k] : 0
      if (state != told[k] && is_over(first[k], delay < least ? least : delay) && is_over(tried[k], pause)) {
        tries[k]++
        tried[k] = up
        due[n] = f == "-" && state == "unknown" ? state : t OFS state OFS code
        code_of[n] = code
        why[n] = reason
      }
    }
    FILENAME == "told" {
      if (NF == 9) {
        k = $1 OFS $2
        told[k] = $3; saw[k] = $4; from[k] = $5; first[k] = $6; tries[k] = $7; tried[k] = $8
      }
      next
    }
    $1 == "+" { has[$2 OFS $3]; next }
    {
      most = is_number($3) && 3 * $3 > 30 ? 3 * $3 : 30 # as in ssh-tunnel-status
      late = NF < 12 || !is_number($4) || now - $4 > most || $4 - now > most
      consider($1, "-", late ? "unknown" : "known", late && NF >= 12 && is_number($4) ? $4 : now, late ? "check-late" : "-", \
        late ? "its check does not run" : "-", is_number($3) ? $3 + 30 : 60) # after a boot, the check needs a moment
      if (!late && $6 ~ /^[a-z][a-z0-9-]*$/ && ($9 == "up" || $9 == "down") && is_number($10)) {
        if ($9 == "down") is_down[$1] = 1
        consider($1, $6, $9, $10, is_reason($12) ? name_of($12) : "-", is_reason($12) ? words($12, $8) : "-", 0)
      }
    }
    END {
      for (k in told) if (!(k in line) && k in has) { # nothing new is known of these
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
        print k, told[k], saw[k], from[k], first[k], tries[k], tried[k], number
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

# settle NUMBER — keeps that this message was told.
settle() {
  awk -F "$TAB" -v OFS="$TAB" -v number="$1" '$9 == number { $3 = $4; $7 = $8 = $9 = 0 } { print }' told >new && keep
}

# keep — what has been written to "new"; on the disk as well, where it outlasts a power cut.
keep() {
  mv -f new told || return 1
  { cp told "$STATE_DIRECTORY/new" && { sync "$STATE_DIRECTORY/new" || :; } && mv -f "$STATE_DIRECTORY/new" "$STATE_DIRECTORY/told"; } 2>/dev/null ||
    echo "<4>cannot write to $STATE_DIRECTORY what has been told; after a boot it may be told again"
}

cd "$RUNTIME_DIRECTORY" || exit 1
[ -f told ] || cp "$STATE_DIRECTORY/told" told 2>/dev/null || : >told
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
    settle "$number"
  fi
done 3<<EOF
$due
EOF
# For ssh-tunnel-status, and no failure of this unit.
! awk -F "$TAB" '$7 > 0 { waits = 1 } END { exit !waits }' told || exit 75
