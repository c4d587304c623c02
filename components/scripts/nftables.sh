# shellcheck shell=sh
# nftables without firewalld or ufw, and iptables on top of it. Such a ruleset is somebody's own text, and nothing is
# written to it. Where it refuses what none of its rules accepts, the rule that a port needs is said.

# For each of PORTS. Ends the script where nothing would keep out whom 'sources' leave out.
say_nft_rules() {
  chains=$(refusing_chains)
  while IFS= read -r sn_port <&4; do
    # shellcheck disable=SC2086  # words
    parse $sn_port
    if [ -n "$from" ]; then
      for sn_family in $(families_of "$to"); do
        printf '%s\n' "$chains" | grep -qE "^(inet|$sn_family) " ||
          fail "neither firewalld nor ufw is active here, so that nothing would keep others than 'sources' from port $port; start one, or leave 'sources' out"
      done
    fi
    say_rules_of "$from$to"
  done 4<<EOF
$PORTS
EOF
  [ -n "$chains" ] || say "note: $HOST: neither firewalld nor ufw is active here; no port needs opening"
}

# "FAMILY TABLE CHAIN" of each chain at the input hook that refuses by its policy, or by its last rule.
refusing_chains() {
  command -v nft >/dev/null 2>&1 || return 0
  nft list ruleset 2>/dev/null | awk '
    /^table / { table = $2 " " $3; counts = $2 ~ /^(ip|ip6|inet)$/ }
    /^\tchain / { chain = $2; at_input = 0 }
    /^\t\ttype filter hook input / { at_input = counts; by_policy = /policy drop;/; by_rule = 0; next }
    /^\t}/ { if (at_input && (by_policy || by_rule)) print table, chain; at_input = 0 }
    at_input {
      gsub(/"[^"]*"|counter packets [0-9]+ bytes [0-9]+|log( (prefix|level [a-z]+|flags [a-z]+))*/, "")
      by_rule = /^[ \t]*(drop|reject)/
    }'
}

# families_of ADDRESS… — nft's families of what is sent there; both where it is empty.
families_of() {
  case $1 in '') echo ip ip6 ;; *:*) echo ip6 ;; *) echo ip ;; esac
}

# say_rules_of ADDRESS — a rule for each chain that would refuse the port, and has none like it.
say_rules_of() {
  while read -r sr_family sr_table sr_chain <&5; do
    case "$(families_of "$1") inet" in *"$sr_family "* | *" $sr_family") ;; *) continue ;; esac
    sr_where="$sr_family $sr_table $sr_chain"
    case $1 in *:*) sr_ip=ip6 ;; *) sr_ip=ip ;; esac
    sr_rule="${from:+$sr_ip saddr $from }${to:+$sr_ip daddr $to }tcp dport $port accept"
    case $sr_where in
      "ip filter INPUT") sr_add="iptables -I INPUT${from:+ -s $from}${to:+ -d $to} -p tcp --dport $port -j ACCEPT" ;;
      "ip6 filter INPUT") sr_add="ip6tables -I INPUT${from:+ -s $from}${to:+ -d $to} -p tcp --dport $port -j ACCEPT" ;;
      *) sr_add="nft insert rule $sr_where $sr_rule" ;;
    esac
    # shellcheck disable=SC2086  # words
    nft list chain $sr_where | sed 's/^[ \t]*//; s/ comment ".*"$//; s/counter packets [0-9]* bytes [0-9]* //' | grep -qxF -e "$sr_rule" ||
      say "note: $HOST: the chain $sr_chain of nftables (table $sr_family $sr_table) refuses what no rule of it accepts, and is left alone; unless one accepts port $port already: '$sr_add', and the same in the file that it is loaded from"
  done 5<<EOF
$chains
EOF
}
