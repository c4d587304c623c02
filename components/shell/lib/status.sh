# shellcheck shell=sh
# What shows the state of this host's tunnels: the program ssh-tunnel-status, and a link through which a node_exporter finds
# what a tunnel's check keeps for it.
#   STATUS_PROGRAM  text of the program, which all tunnels and stacks on a host share
#   METRICS         the file that the check writes
#   METRICS_FOLDER  the node_exporter's folder for text files; empty where there is none
STATUS_FOLDER=/usr/local/bin
# Where /usr is read-only. Flatcar, for one, has this folder in its PATH.
[ -w "$STATUS_FOLDER" ] || STATUS_FOLDER=/opt/bin

write_status() {
  make_dirs "$STATUS_FOLDER"
  write_shared "$STATUS_FOLDER/ssh-tunnel-status" 755 "$STATUS_PROGRAM"
  [ -z "$METRICS_FOLDER" ] || link_metrics "$METRICS_FOLDER/${METRICS##*/}"
}

# A link, so that the check needs no right to write in that folder. It is relative, for a node_exporter that sees this host
# below another folder.
link_metrics() {
  local target
  make_dirs "$METRICS_FOLDER"
  # shellcheck disable=SC2016
  target=$(at "$METRICS_FOLDER" sh -c 'exec realpath -m --relative-to="$2" -- "$1"' sh "$METRICS")
  look_for "$1"
  own_alone file "$1" "$THERE"
  [ "$(at "$1" readlink --)" != "$target" ] || return 0
  at "$1" ln -sfn -- "$target" || cannot_at "write $1" "$1"
  changed "linked $1 to $METRICS"
}
