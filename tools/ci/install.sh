#!/bin/sh
# The npm packages of this tool, for the stacks whose settings are in FOLDER. No package runs a script of its own, and the
# lab (LAB=true) alone needs those for development. POLICIES=true also installs those of the policy pack.
set -eu

settings=$(cd "$FOLDER" && pwd -P)
cd "$(dirname "$0")/../.."
# Pulumi takes the first Pulumi.yaml that it finds, here or in the folders above: that of the settings counts.
[ "$settings" = "$(pwd -P)" ] || rm -f Pulumi.yaml
if [ "$LAB" = true ]; then
  npm ci --ignore-scripts --no-fund --no-audit
else
  npm ci --ignore-scripts --omit=dev --no-fund --no-audit
fi
if [ "${POLICIES-}" = true ]; then
  cd policies
  npm ci --ignore-scripts --omit=dev --no-fund --no-audit
fi
