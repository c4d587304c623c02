#!/bin/sh
# report.sh preview|up|drift: reports what stack.sh did; see report.ts.
set -eu
cd "$(dirname "$0")/../.."
exec node node_modules/tsx/dist/cli.mjs tools/ci/report.ts "$1"
