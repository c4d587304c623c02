# shellcheck shell=sh
# What the checks of a tunnel have in common: the fields that tell them of a forward, and what they keep of it in
# $RUNTIME_DIRECTORY for ssh-tunnel-status and for a node_exporter. Everyone may read it; nothing in it is secret.
#
# A check begins as root, in a sandbox, and looks as the tunnel's account ($ACCOUNT). Root's part is only to keep what that
# finds, in a folder of root's: of an account that somebody else may use, what root and others read there must be neither a
# FIFO nor a link, and no more than a state and a reason for each forward that root knows of (reasons.sh).
#
# The file "state" has a line for each forward, its fields with a tab between them, "-" where there is nothing:
#   tunnel side interval checked connected name listens leads-to state since last-good reason
# side is "internal" or "public", state "up" or "down", reason a code of reasons.sh; times are in seconds since 1970, the interval is in seconds.
TAB=$(printf '\t')

# as_account COMMAND… — as the one that the check looks as; as whoever we are, where none is named. It may be stopped, or
# write for ever: systemd ends a check that takes too long, and we read no more than we need.
as_account() {
  if [ -z "${ACCOUNT-}" ]; then
    "$@"
  else
    setpriv --reuid "$(id -u "$ACCOUNT")" --regid "$(id -g "$ACCOUNT")" --init-groups "$@"
  fi | head -c 65536
}

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

# finding REASON — of the forward that was split, a line for keep_state; "-" where it is up.
finding() { printf '%s\t%s\n' "$name" "$1"; }

# keep_state TUNNEL SIDE CONNECTED FORWARD… <findings — CONNECTED is the time since when. Prints for the journal what has
# gone up or down and what is done about it, and nothing else. Both files are replaced in one piece. What the findings say
# of a forward that is not among ours, or more than once, is left out. Ends with 10 where the tunnel is to be restarted for
# something that it was not restarted for already.
keep_state() {
  cd "$RUNTIME_DIRECTORY" || exit 1
  umask 022
  ks_tunnel=$1
  ks_side=$2
  ks_connected=$3
  shift 3
  # The folder was the account's once, in earlier versions.
  [ -f state ] && [ ! -L state ] || { rm -rf state && : >state; }
  rm -rf state.new "ssh-tunnel-$ks_tunnel.prom.new"
  : >state.new
  {
    for forward; do
      split "$forward"
      printf '%s\t%s\t%s\n' "$name" "$listens" "$leads_to"
    done | sort
    echo
    cat
  } | LC_ALL=C awk -F "$TAB" -v OFS="$TAB" -v now="$(date +%s)" -v interval="$CHECK_INTERVAL" \
    -v tunnel="$ks_tunnel" -v side="$ks_side" -v connected="$ks_connected" \
    -v metrics="ssh-tunnel-$ks_tunnel.prom.new" "$REASON_WORDS"'
    # The internal host ends its own tunnel, where that is to blame.
    function restarts(code) { return side == "internal" && code ~ /^(ssh-hangs|no-listener|nothing-back)$/ }
    FILENAME == "state" { was[$6] = $9; since[$6] = $10; good[$6] = $11; why[$6] = $12; next }
    !theirs && $0 == "" { theirs = 1; next }
    !theirs { name[++n] = $1; listens[$1] = $2; leads[$1] = $3; next }
    $1 in listens && !($1 in state) && ($2 == "-" || is_reason($2)) {
      state[$1] = $2 == "-" ? "up" : "down"
      reason[$1] = $2
    }
    function keep(f,   before, labels) {
      before = f in was ? was[f] : "unknown"
      if (before != state[f]) since[f] = now
      if (state[f] == "up") good[f] = now
      else if (!(f in good)) good[f] = "-"
      print tunnel, side, interval, now, connected, f, listens[f], leads[f], state[f], since[f], good[f], reason[f] >"state.new"
      if (before != state[f] || (why[f] != reason[f] && restarts(reason[f]))) {
        printf "<%d>tunnel %s: forward \047%s\047 on %s is %s (was %s)%s%s\n", (state[f] == "up" ? 5 : 4), \
          tunnel, f, listens[f], state[f], before, (reason[f] == "-" ? "" : ": " words(reason[f], leads[f])), \
          (restarts(reason[f]) ? "; restarting the tunnel" : "")
        if (restarts(reason[f])) restart = 10
      }
      labels = "{tunnel=\"" tunnel "\",forward=\"" f "\",side=\"" side "\"} "
      up = up "ssh_tunnel_up" labels (state[f] == "up") "\n"
      if (state[f] == "down")
        down = down "ssh_tunnel_down_info{tunnel=\"" tunnel "\",forward=\"" f "\",side=\"" side "\",reason=\"" reason[f] "\"} 1\n"
      change = change "ssh_tunnel_state_change_timestamp_seconds" labels since[f] "\n"
      if (good[f] != "-") last = last "ssh_tunnel_last_good_check_timestamp_seconds" labels good[f] "\n"
    }
    function family(metric, help, samples) {
      if (samples) printf "# HELP %s %s\n# TYPE %s gauge\n%s", metric, help, metric, samples >metrics
    }
    END {
      for (i = 1; i <= n; i++) if (name[i] in state) keep(name[i])
      printf "" >metrics
      family("ssh_tunnel_up", "Whether the forward worked when it was last looked at.", up)
      family("ssh_tunnel_down_info", "Why a forward is down; 1, and not there where it is up.", down)
      family("ssh_tunnel_state_change_timestamp_seconds", "Since when it is up, or down.", change)
      family("ssh_tunnel_last_good_check_timestamp_seconds", "When it was last seen to work.", last)
      exit restart
    }' state -
  ks_status=$?
  case $ks_status in 0 | 10) ;; *) return 1 ;; esac
  mv -f state.new state && mv -f "ssh-tunnel-$ks_tunnel.prom.new" "ssh-tunnel-$ks_tunnel.prom" || return 1
  return "$ks_status"
}
