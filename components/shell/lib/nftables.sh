# shellcheck shell=sh
# nftables without firewalld or ufw, and iptables on top of it: see firewalls.sh. Such a ruleset is somebody's own text, so
# nothing is opened. Where it refuses what no rule of it accepts, a note says which rule a port needs.

# openings_nftables PORTS — prints none. Ends the script if nothing would keep out those whom 'sources' leave out: nobody looks
# whom the rules of such a ruleset let in.
openings_nftables() {
  local port
  CHAINS=$(refusing_chains)
  while IFS= read -r port <&4; do
    # shellcheck disable=SC2086  # words
    parse $port
    [ -z "$FROM" ] ||
      fail "neither firewalld nor ufw is active here, so nothing would limit port $PORT to 'sources'; start one, or leave 'sources' out"
    [ -z "$CHAINS" ] || say_rules
  done 4<<EOF
$1
EOF
  [ -n "$CHAINS" ] || say "note: $HOST: neither firewalld nor ufw is active here; no port needs opening"
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

# A rule for each of CHAINS that would refuse PORT, sent to TO, and has none like it.
say_rules() {
  local families family table chain where to rule add
  case $TO in '') families="ip ip6 inet" ;; *:*) families="ip6 inet" ;; *) families="ip inet" ;; esac
  while read -r family table chain <&5; do
    case " $families " in *" $family "*) ;; *) continue ;; esac
    where="$family $table $chain"
    case $TO in '') to= ;; *:*) to="ip6 daddr $TO " ;; *) to="ip daddr $TO " ;; esac
    rule="${to}tcp dport $PORT accept"
    case $where in
      "ip filter INPUT") add="iptables -I INPUT${TO:+ -d $TO} -p tcp --dport $PORT -j ACCEPT" ;;
      "ip6 filter INPUT") add="ip6tables -I INPUT${TO:+ -d $TO} -p tcp --dport $PORT -j ACCEPT" ;;
      *) add="nft insert rule $where $rule" ;;
    esac
    # shellcheck disable=SC2086  # words
    nft list chain $where | sed 's/^[ \t]*//; s/ comment ".*"$//; s/counter packets [0-9]* bytes [0-9]* //' | grep -qxF -e "$rule" ||
      say "note: $HOST: the chain $chain of nftables (table $family $table) refuses what no rule of it accepts, and is left alone; unless one accepts port $PORT already: '$add', and the same in the file that it is loaded from"
  done 5<<EOF
$CHAINS
EOF
}
