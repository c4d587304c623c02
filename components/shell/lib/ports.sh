# shellcheck shell=sh
# The ports that a tunnel listens on. What is on record of them is a promise and nothing to undo.

kind port ADDRESS:PORT
undo_port() { :; }

kind auto "NAME ADDRESS PORT"
undo_auto() { :; }

# What remotePorts.sh has found in this visit, for sed.
PORT_OF_EACH=
# with_ports TEXT — the text with the port of each forward in place of its "@name@".
with_ports() { printf '%s\n' "$1" | sed "$PORT_OF_EACH"; }

# overlap ADDRESS ADDRESS — whether only one of them can have a port. sshd binds an address of IPv6 for IPv6 alone, and "*"
# for each family by itself.
overlap() {
  local all
  case "$1 $2" in
    "* "* | *" *") return 0 ;;
    *:*" "*:*) all=:: ;;
    *:*) return 1 ;;
    *) all=0.0.0.0 ;;
  esac
  [ "$1" = "$2" ] || [ "$1" = "$all" ] || [ "$2" = "$all" ]
}
