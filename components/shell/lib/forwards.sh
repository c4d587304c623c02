# shellcheck shell=sh
# A forward as all scripts and programs are told of it, one word:
#   NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT,LISTEN[,PROBE]
# ADDRESS is where it can be reached on the public host itself, LISTEN where it listens: "loopback", "all" or an address.
# PROBE is what the checks look at: "none", "listener", which is left out, or "banner".

# split_forward FORWARD — sets NAME ADDRESS PORT PROTOCOL TARGET_HOST TARGET_PORT LISTEN PROBE, and in words LISTENS, where
# it listens, and LEADS_TO, where it leads to: "-" where nothing is known.
# shellcheck disable=SC2034  # not everyone needs all of it
split_forward() {
  IFS=, read -r NAME ADDRESS PORT PROTOCOL TARGET_HOST TARGET_PORT LISTEN PROBE <<EOT
$1
EOT
  : "${PROBE:=listener}"
  case ${LISTEN:=$ADDRESS} in
    all) LISTENS="*:$PORT" ;;
    loopback) LISTENS="$ADDRESS:$PORT" ;;
    *:*) LISTENS="[$LISTEN]:$PORT" ;;
    *) LISTENS="$LISTEN:$PORT" ;;
  esac
  case $TARGET_HOST in
    *:*) LEADS_TO="[$TARGET_HOST]:$TARGET_PORT" ;;
    "") LEADS_TO=- ;;
    *) LEADS_TO="$TARGET_HOST:$TARGET_PORT" ;;
  esac
}
