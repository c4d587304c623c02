#!/bin/sh
# stack.sh preview|up|drift: does it with STACK, whose settings are in FOLDER. For the report, RESULT gets `log`, what was
# printed; `events`, those of the engine; `drift`, the result of a look for drift; `status`, the exit status.
#
# The state is where PULUMI_BACKEND_URL says, with PULUMI_CONFIG_PASSPHRASE, and PGPASSWORD for PostgreSQL or
# STATE_ACCESS_KEY_ID and STATE_SECRET_ACCESS_KEY for S3; or in Pulumi Cloud, with PULUMI_ACCESS_TOKEN.
#
# Looking for drift succeeds whatever it finds: the report says that. LAB=true creates the stack if there is none.
# POLICIES=true checks the policy pack, with `policies.json` in FOLDER as its settings, if that is there.
set -eu

command=$1
tool=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$RESULT"
RESULT=$(cd "$RESULT" && pwd)

# An empty variable is not the same as none.
[ -n "${PULUMI_BACKEND_URL-}" ] || unset PULUMI_BACKEND_URL
[ -n "${PULUMI_ACCESS_TOKEN-}" ] || unset PULUMI_ACCESS_TOKEN
[ -n "${PGPASSWORD-}" ] || unset PGPASSWORD
if [ -n "${STATE_ACCESS_KEY_ID-}" ]; then
  export AWS_ACCESS_KEY_ID="$STATE_ACCESS_KEY_ID" AWS_SECRET_ACCESS_KEY="$STATE_SECRET_ACCESS_KEY"
fi
# A host that is down keeps no other one waiting.
export PULUMI_CONTINUE_ON_ERROR=true PULUMI_SKIP_UPDATE_CHECK=true
# Without it, there is no --event-log.
export PULUMI_DEBUG_COMMANDS=true

cd "$FOLDER"
if [ "${LAB-}" = true ]; then
  case ${PULUMI_BACKEND_URL-} in file://*) mkdir -p "${PULUMI_BACKEND_URL#file://}" ;; esac
  pulumi stack select --create "$STACK"
fi

shown() {
  { "$@" 2>&1 && echo 0 >"$RESULT/status" || echo $? >"$RESULT/status"; } | tee "$RESULT/log"
}

engine() {
  shown pulumi "$@" --stack "$STACK" --non-interactive --color never --suppress-progress --event-log "$RESULT/events"
  return "$(cat "$RESULT/status")"
}

# Where the program runs, too, so that a path in the settings means the same file.
look() {
  cd "$tool"
  node node_modules/tsx/dist/cli.mjs tools/drift.ts --stack "$STACK" --json >"$RESULT/drift"
}

rm -f "$RESULT/log" "$RESULT/events" "$RESULT/drift" "$RESULT/status"
set --
if [ "${POLICIES-}" = true ]; then
  set -- --policy-pack "$tool/policies"
  [ ! -f policies.json ] || set -- "$@" --policy-pack-config policies.json
fi

case $command in
  preview) engine preview "$@" ;;
  up)
    # Policies are checked in the preview, before anything is changed.
    [ $# -gt 0 ] || set -- --skip-preview
    engine up --yes "$@"
    ;;
  drift)
    shown look
    cat "$RESULT/drift"
    ;;
  *)
    echo "usage: stack.sh preview|up|drift" >&2
    exit 2
    ;;
esac
