# shellcheck shell=sh
# What the checks of a tunnel have in common: the fields that tell them of a forward, and what they keep of it in
# $RUNTIME_DIRECTORY for ssh-tunnel-status and for a node_exporter. Everyone may read it; nothing in it is secret.
#
# The file "state" has a line for each forward, its fields with a tab between them, "-" where there is nothing:
#   tunnel side interval checked connected name listens leads-to state since last-good reason
# side is "internal" or "public", state "up" or "down"; times are in seconds since 1970, the interval is in seconds.
TAB=$(printf '\t')

# split FORWARD — NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT,LISTEN into variables; LISTEN is "all", or as ADDRESS.
split() {
  IFS=, read -r name address port protocol target_host target_port listen <<EOT
$1
EOT
  case ${listen:=$address} in
    all) listens="*:$port" ;;
    loopback) listens="$address:$port" ;;
    *:*) listens="[$listen]:$port" ;;
    *) listens="$listen:$port" ;;
  esac
  case $target_host in
    *:*) leads_to="[$target_host]:$target_port" ;;
    "") leads_to=- ;;
    *) leads_to="$target_host:$target_port" ;;
  esac
}

# finding STATE REASON — of the forward that was split, a line for keep_state.
finding() { printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$listens" "$leads_to" "$1" "$2"; }

# What is wrong with a forward ends with this where the tunnel is to blame.
ours="; restarting the tunnel"

# keep_state TUNNEL SIDE CONNECTED <findings — CONNECTED is the time since when. Prints for the journal what has gone up or
# down and what is done about it, and nothing else. Both files are replaced in one piece.
keep_state() {
  cd "$RUNTIME_DIRECTORY" || exit 1
  umask 022
  [ -f state ] || : >state
  : >state.new
  sort | awk -F "$TAB" -v OFS="$TAB" -v now="$(date +%s)" -v interval="$CHECK_INTERVAL" \
    -v tunnel="$1" -v side="$2" -v connected="$3" -v metrics="ssh-tunnel-$1.prom.new" -v ours="$ours" '
    FILENAME == "state" { was[$6] = $9; since[$6] = $10; good[$6] = $11; why[$6] = $12; next }
    {
      before = $1 in was ? was[$1] : "unknown"
      if (before != $4) since[$1] = now
      if ($4 == "up") good[$1] = now
      else if (!($1 in good)) good[$1] = "-"
      print tunnel, side, interval, now, connected, $1, $2, $3, $4, since[$1], good[$1], $5 >"state.new"
      if (before != $4 || (why[$1] != $5 && index($5, ours)))
        printf "<%d>tunnel %s: forward \047%s\047 on %s is %s (was %s)%s\n", ($4 == "up" ? 5 : 4), \
          tunnel, $1, $2, $4, before, ($5 == "-" ? "" : ": " $5)
      labels = "{tunnel=\"" tunnel "\",forward=\"" $1 "\",side=\"" side "\"} "
      up = up "ssh_tunnel_up" labels ($4 == "up") "\n"
      change = change "ssh_tunnel_state_change_timestamp_seconds" labels since[$1] "\n"
      if (good[$1] != "-") last = last "ssh_tunnel_last_good_check_timestamp_seconds" labels good[$1] "\n"
    }
    function family(name, help, samples) {
      if (samples) printf "# HELP %s %s\n# TYPE %s gauge\n%s", name, help, name, samples >metrics
    }
    END {
      printf "" >metrics
      family("ssh_tunnel_up", "Whether the forward worked when it was last looked at.", up)
      family("ssh_tunnel_state_change_timestamp_seconds", "Since when it is up, or down.", change)
      family("ssh_tunnel_last_good_check_timestamp_seconds", "When it was last seen to work.", last)
    }' state - && mv -f state.new state && mv -f "ssh-tunnel-$1.prom.new" "ssh-tunnel-$1.prom"
}
