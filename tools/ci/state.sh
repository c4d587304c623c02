#!/bin/sh
# Whether STACK can be run: it needs a backend for its state (HAS_BACKEND), or a token for Pulumi Cloud (HAS_TOKEN), and its
# settings in FOLDER. LAB is true for the stack of the lab's hosts, which needs neither. Prints `ready=true` into
# GITHUB_OUTPUT.
set -eu

case $STACK in
  '' | -* | *[!A-Za-z0-9._-]*)
    echo "::error::'$STACK' is not the name of a stack and of an environment: letters, digits, '.', '_' and '-'."
    exit 1
    ;;
esac
if [ "$LAB" != true ] && [ "$HAS_BACKEND" != true ] && [ "$HAS_TOKEN" != true ]; then
  echo "::notice title=$STACK is not set up::It has neither PULUMI_BACKEND_URL nor PULUMI_ACCESS_TOKEN, so nothing was done. See docs/ci.md."
  exit 0
fi
if [ ! -f "$FOLDER/Pulumi.$STACK.yaml" ]; then
  echo "::error::$STACK has no settings: add Pulumi.$STACK.yaml beside Pulumi.yaml, or take $STACK out of the environments."
  exit 1
fi
echo "ready=true" >>"$GITHUB_OUTPUT"
