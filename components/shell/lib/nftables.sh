# shellcheck shell=sh
# nftables without firewalld or ufw, and iptables on top of it. Such a ruleset is somebody's own text, and nothing is
# written to it. Where it refuses what none of its rules accepts, the rule that a port needs is said.

# For each of PORTS. Ends the script where nothing would keep out whom 'sources' leave out: which rules of such a ruleset let
# whom in is not looked at.
say_nft_rules() {
  chains=$(refusing_chains)
  while IFS= read -r sn_port <&4; do
    # shellcheck disable=SC2086  # words
    parse $sn_port
    [ -z "$from" ] ||
      fail "neither firewalld nor ufw is active here, so nothing would limit port $port to 'sources'; start one, or leave 'sources' out"
    [ -z "$chains" ] || say_rules
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

# A rule for each chain that would refuse $port, sent to $to, and has none like it.
say_rules() {
  case $to in '') sr_families="ip ip6 inet" ;; *:*) sr_families="ip6 inet" ;; *) sr_families="ip inet" ;; esac
  while read -r sr_family sr_table sr_chain <&5; do
    case " $sr_families " in *" $sr_family "*) ;; *) continue ;; esac
    sr_where="$sr_family $sr_table $sr_chain"
    case $to in '') sr_to= ;; *:*) sr_to="ip6 daddr $to " ;; *) sr_to="ip daddr $to " ;; esac
    sr_rule="${sr_to}tcp dport $port accept"
    case $sr_where in
      "ip filter INPUT") sr_add="iptables -I INPUT${to:+ -d $to} -p tcp --dport $port -j ACCEPT" ;;
      "ip6 filter INPUT") sr_add="ip6tables -I INPUT${to:+ -d $to} -p tcp --dport $port -j ACCEPT" ;;
      *) sr_add="nft insert rule $sr_where $sr_rule" ;;
    esac
    # shellcheck disable=SC2086  # words
    nft list chain $sr_where | sed 's/^[ \t]*//; s/ comment ".*"$//; s/counter packets [0-9]* bytes [0-9]* //' | grep -qxF -e "$sr_rule" ||
      say "note: $HOST: the chain $sr_chain of nftables (table $sr_family $sr_table) refuses what no rule of it accepts, and is left alone; unless one accepts port $port already: '$sr_add', and the same in the file that it is loaded from"
  done 5<<EOF
$chains
EOF
}
