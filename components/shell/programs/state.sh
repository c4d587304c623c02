# shellcheck shell=sh
# What the checks of tunnels have in common: what they keep of a forward in
# $RUNTIME_DIRECTORY for ssh-tunnel-status and for a node_exporter. Everyone may read it; nothing in it is secret.
#
# A check begins as root, in a sandbox, and looks as somebody without rights. Root's part is only to keep what that finds,
# in a folder of root's: of an account that somebody else may use, what root and others read there must be neither a FIFO
# nor a link, and no more than a state and a reason for each forward that root knows of (reasons.sh).
#
# A file of states has a line for each forward, its fields with a tab between them, "-" where there is nothing:
#   tunnel side interval checked connected name listens leads-to state since last-good reason key-made restarts seen address tries tried
# side is "internal" or "public", state "up" or "down", reason a code of reasons.sh; times are in seconds since 1970, the interval is in seconds.
# The key is the tunnel's own, or the oldest of those of its logins. The restarts are for the internal host alone, and all after
# them for the public one: see logins.sh.
TAB=$(printf '\t')
NL='
'

# expect TUNNEL INTERVAL CONNECTED MADE — adds the forward that was split to EXPECTED, for keep_states. CONNECTED is the time
# since when the tunnel is connected, MADE when its key was made.
EXPECTED=
expect() { EXPECTED=$EXPECTED$1$TAB$2$TAB$3$TAB$NAME$TAB$LISTENS$TAB$LEADS_TO$TAB$4$NL; }

# begin — before the first look: what is kept is written to "new" first. In earlier versions the folder belonged to the
# account.
begin() { cd "$RUNTIME_DIRECTORY" && umask 022 && rm -rf new && mkdir new; }

# keep_states SIDE NOW FILE… <findings — "tunnel name reason", with "-" where it is up. FILE is where the states of a tunnel
# are: "state", or "<tunnel>.state" of several. Prints for the journal what has gone up or down, who has taken a port, and what is done about it, and
# nothing else. Each file is replaced in one piece. What the findings say of a forward that is not expected, or more than
# once, is left out; of a tunnel that they say nothing of, all stays as it is, and grows old. Ends with 10 where the tunnel is
# to be restarted for something that it was not restarted for already. That is the internal host's business alone, and only
# where its own ssh is to blame. RESTARTS is how often systemd has started it again; of logins, new/logins says what there is.
keep_states() {
  local side now status file
  side=$1
  now=$2
  shift 2
  for file; do
    shift
    if [ -f "$file" ] && [ ! -L "$file" ]; then
      set -- "$@" "$file"
    elif [ -e "$file" ] || [ -L "$file" ]; then
      rm -rf -- "$file"
    fi
  done
  [ ! -f new/logins ] || set -- new/logins "$@"
  {
    printf %s "$EXPECTED" | sort
    echo
    cat
  } | LC_ALL=C awk -F "$TAB" -v OFS="$TAB" -v now="$now" -v side="$side" -v again="${RESTARTS:--}" "$REASON_WORDS"'
    function restarts(code) { return side == "internal" && code == "ssh-hangs" }
    FILENAME == "new/logins" { if (NF == 8) { begun[$1] = $4 == "-" ? "-" : $2; address[$1] = $3; seen[$1] = $5; attempts[$1] = $6; tries[$1] = $7; tried[$1] = $8 }; next }
    FILENAME ~ /state$/ { was[$1, $6] = $9; since[$1, $6] = $10; good[$1, $6] = $11; why[$1, $6] = $12; next }
    !theirs && $0 == "" { theirs = 1; next }
    !theirs {
      n++
      tunnel[n] = $1; interval[n] = $2; connected[n] = $3; name[n] = $4; listens[n] = $5; leads[n] = $6; made[n] = $7
      expected[$1, $4]
      next
    }
    ($1, $2) in expected && !(($1, $2) in state) && ($3 == "-" || is_reason($3)) {
      state[$1, $2] = $3 == "-" ? "up" : "down"
      reason[$1, $2] = $3
    }
    function keep(i,   t, f, k, before, labels) {
      t = tunnel[i]
      f = name[i]
      k = t SUBSEP f
      before = k in was ? was[k] : "unknown"
      if (before != state[k]) since[k] = now
      if (state[k] == "up") good[k] = now
      else if (!(k in good)) good[k] = "-"
      states = states t OFS side OFS interval[i] OFS now OFS connected[i] OFS f OFS listens[i] OFS leads[i] OFS \
        state[k] OFS since[k] OFS good[k] OFS reason[k] OFS made[i] OFS again OFS \
        (t in seen ? seen[t] OFS address[t] OFS tries[t] OFS tried[t] : "-" OFS "-" OFS "-" OFS "-") "\n"
      if (before != state[k] || (why[k] != reason[k] && (restarts(reason[k]) || reason[k] ~ /^taken:/))) {
        printf "<%d>tunnel %s: forward \047%s\047 on %s is %s (was %s)%s%s\n", (state[k] == "up" ? 5 : 4), \
          t, f, listens[i], state[k], before, (reason[k] == "-" ? "" : ": " words(reason[k], leads[i])), \
          (restarts(reason[k]) ? "; restarting the tunnel" : "")
        if (restarts(reason[k])) restart = 10
      }
      labels = "{tunnel=\"" t "\",forward=\"" f "\",side=\"" side "\"} "
      up = up "ssh_tunnel_up" labels (state[k] == "up") "\n"
      if (state[k] == "down")
        down = down "ssh_tunnel_down_info{tunnel=\"" t "\",forward=\"" f "\",side=\"" side "\",reason=\"" name_of(reason[k]) "\"} 1\n"
      change = change "ssh_tunnel_state_change_timestamp_seconds" labels since[k] "\n"
      if (good[k] != "-") last = last "ssh_tunnel_last_good_check_timestamp_seconds" labels good[k] "\n"
    }
    function family(metric, help, samples) {
      return samples ? "# HELP " metric " " help "\n# TYPE " metric (metric ~ /_total$/ ? " counter\n" : " gauge\n") samples : ""
    }
    function tunnel_family(metric, help, value, more) { # of the tunnel that LABELS are for; nothing where the value is unknown
      return value == "" || value == "-" ? "" : family(metric, help, metric "{" LABELS more "} " value "\n")
    }
    function write_files(i,   t, file) {
      t = tunnel[i]
      if (states) {
        file = side == "internal" ? "new/state" : "new/" t ".state"
        printf "%s", states >file
        close(file)
        file = "new/ssh-tunnel-" t ".prom"
        LABELS = "tunnel=\"" t "\",side=\"" side "\""
        printf "%s%s%s%s%s%s%s%s%s%s%s%s", \
          tunnel_family("ssh_tunnel_check_timestamp_seconds", "When the tunnel was last checked.", now), \
          tunnel_family("ssh_tunnel_check_interval_seconds", "Seconds between two checks.", interval[i]), \
          family("ssh_tunnel_up", "Whether the forward worked when it was last looked at.", up), \
          family("ssh_tunnel_down_info", "Why a forward is down; 1, and not there where it is up.", down), \
          family("ssh_tunnel_state_change_timestamp_seconds", "Since when it is up, or down.", change), \
          family("ssh_tunnel_last_good_check_timestamp_seconds", "When it was last seen to work.", last), \
          tunnel_family("ssh_tunnel_key_created_timestamp_seconds", "When its key was made: on the public host, the oldest of its logins.", made[i]), \
          tunnel_family("ssh_tunnel_connected_since_timestamp_seconds", "Since when the tunnel is connected.", connected[i]), \
          tunnel_family("ssh_tunnel_restarts_total", "How often systemd has started it again by itself.", again), \
          tunnel_family("ssh_tunnel_last_connection_timestamp_seconds", "When it was last seen connected.", seen[t]), \
          tunnel_family("ssh_tunnel_source_info", "Where it is, or was last, connected from; 1.", \
            (t in address && address[t] != "-" ? 1 : "-"), ",address=\"" address[t] "\""), \
          tunnel_family("ssh_tunnel_connection_attempts_total", "Logins to its account, accepted or refused.", attempts[t]) >file
        close(file)
      }
      states = up = down = change = last = ""
    }
    END {
      for (i = 1; i <= n; i++) {
        t = tunnel[i]
        if (t in begun) connected[i] = begun[t]
        if ((t, name[i]) in state) keep(i)
        if (i == n || tunnel[i + 1] != t) write_files(i)
      }
      exit restart
    }' "$@" -
  status=$?
  case $status in 0 | 10) ;; *) return 1 ;; esac
  set -- new/*
  [ ! -e "$1" ] || mv -f -- "$@" . || return 1
  return "$status"
}
