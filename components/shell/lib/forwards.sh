# shellcheck shell=sh
# A forward as all scripts and programs are told of it, one word:
#   NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT,LISTEN
# ADDRESS is where it can be reached on the public host itself, LISTEN where it listens: "loopback", "all" or an address.

# split_forward FORWARD — sets name address port protocol target_host target_port, and in words where it listens (listens) and
# leads to (leads_to), "-" where nothing is known.
split_forward() {
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
