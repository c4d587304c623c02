# shellcheck shell=sh
# A forward as all scripts and programs are told of it, one word:
#   NAME,ADDRESS,PORT,PROTOCOL,TARGET_HOST,TARGET_PORT,LISTEN
# ADDRESS is where it can be reached on the public host itself, LISTEN where it listens: "loopback", "all" or an address.

# split_forward FORWARD — sets NAME ADDRESS PORT PROTOCOL TARGET_HOST TARGET_PORT LISTEN, and in words LISTENS, where it
# listens, and LEADS_TO, where it leads to: "-" where nothing is known.
split_forward() {
  IFS=, read -r NAME ADDRESS PORT PROTOCOL TARGET_HOST TARGET_PORT LISTEN <<EOT
$1
EOT
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
