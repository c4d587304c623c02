#!/bin/sh
# Everything that reads the code without running it. Installs shellcheck and shfmt from Debian's packages where they are
# missing and may be installed, and zizmor from PyPI; actionlint needs Go.
set -eu
cd "$(dirname "$0")/.."

need() {
  command -v "$1" >/dev/null 2>&1 || need_package "$1"
}

need_package() {
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing $1 …"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$1" >/dev/null
  else
    echo "lint: $1 is missing; install it and try again" >&2
    exit 1
  fi
}

echo "tsc"
npx tsc
echo "eslint"
npx eslint .
echo "knip"
npx knip
echo "dependency-cruiser"
npm run --silent layers
echo "prh"
npm run --silent words
echo "prettier"
npx prettier --check --log-level warn .

need shellcheck
need shfmt
scripts=$(git ls-files '*.sh' .ci/run)
echo "shfmt"
# shellcheck disable=SC2086  # names without spaces
shfmt -d -i 2 -ci $scripts
echo "shellcheck"
# Our remote scripts are checked as they travel: header, library, script.
assembled=$(mktemp -d)
trap 'rm -rf "$assembled"' EXIT
cp .shellcheckrc "$assembled"
npx tsx tools/assembleScripts.ts "$assembled"
# shellcheck disable=SC2046
shellcheck "$assembled"/*.sh $(git ls-files '*.sh' .ci/run | grep -v '^components/')

echo "actionlint"
if command -v go >/dev/null 2>&1; then
  go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 -config-file .github/actionlint.yaml \
    .github/workflows/*.yml examples/*/.github/workflows/*.yml
else
  echo "lint: actionlint needs Go; skipped" >&2
fi
echo "zizmor"
zizmor=${XDG_CACHE_HOME:-$HOME/.cache}/ssh-reverse-tunnel/zizmor-1.32.0
if [ ! -x "$zizmor/bin/zizmor" ]; then
  python3 -c 'import ensurepip' 2>/dev/null || need_package python3-venv
  python3 -m venv "$zizmor"
  "$zizmor/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "zizmor==${zizmor##*-}"
fi
"$zizmor/bin/zizmor" --offline --quiet .github
example=examples/settings-repository
"$zizmor/bin/zizmor" --offline --quiet --config $example/.github/zizmor.yml $example
echo "lint: nothing found"
