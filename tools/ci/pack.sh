#!/bin/sh
# The package of the version that TAG names, and its section of the CHANGELOG as notes.md, in RESULT.
set -eu
cd "$(dirname "$0")/../.."

version=$(node -p 'require("./package.json").version')
if [ "$TAG" != "v$version" ]; then
  echo "::error::the tag is $TAG, but package.json has the version $version: change one of them."
  exit 1
fi
mkdir -p "$RESULT"
awk -v heading="## [$version] - " '
  index($0, "## [") == 1 { on = index($0, heading) == 1; if (on && /Unreleased/) exit 3; next }
  on { print; found = 1 }
  END { if (!found) exit 3 }
' CHANGELOG.md >"$RESULT/notes.md" || {
  echo "::error::CHANGELOG.md has no section '## [$version] - <date>': give the one of this version its date."
  exit 1
}
[ -d node_modules ] || npm ci --ignore-scripts --no-fund --no-audit
npm run --silent build
npm pack --ignore-scripts --pack-destination "$RESULT"
