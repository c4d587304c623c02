# shellcheck shell=sh
# ssh-tunnel-status and the link to a tunnel's metrics, in folders of the test's own, as whoever runs the test.
#   FOLDER
#   STATUS_PROGRAM METRICS METRICS_FOLDER  see status.sh
# shellcheck disable=SC2034
apply() {
  STATUS_FOLDER=$FOLDER/bin
  write_status
}
