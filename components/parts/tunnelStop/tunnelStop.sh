# shellcheck shell=sh
# Stops a tunnel that is disabled, and its watchdog, and keeps all that tunnelService.sh has put on the internal host: once
# it is enabled, it is as it was.
#   SERVICE  ssh-tunnel-<name>
#   METRICS  the file that its watchdog writes

apply() {
  need_cmd systemctl systemd
  ! on_trial ||
    fail "a change to the tunnel is still on trial, and the host rolls it back within ${TRIAL_SECONDS}s; run 'pulumi up' again then"
  ! comes_through_service "$SERVICE.service" ||
    fail "this session comes through the tunnel that is to be disabled, and would end with it; nothing was changed: let the host's address be one that does not lead through the tunnel, and run 'pulumi up' again"
  keep_service
  stop_unit "$SERVICE-watchdog.timer"
  stop_unit "$SERVICE.service"
  systemctl stop "$SERVICE-watchdog.service" 2>/dev/null || :
  rm -f -- "$METRICS" "${METRICS%/*}/state"
}

# keep_service — marks what is on record. The logins say themselves which of their keys they want, and a node_exporter must
# not be led to a file that is gone.
keep_service() {
  local kind value
  while IFS=$TAB read -r kind value <&3; do
    case $kind$TAB$value in
      "$TAB"* | "key$TAB"* | "file$TAB"*"/${METRICS##*/}") ;;
      *) MARKED=$MARKED$kind$TAB$value$NL ;;
    esac
  done 3<<EOF
$RECORDED
EOF
}
