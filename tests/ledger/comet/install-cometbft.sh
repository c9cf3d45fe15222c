#!/usr/bin/env bash
# Installs CometBFT into .tools/bin, from source, at the one version that the tests are run against.
# Under two minutes from nothing; at once if it is there already. Needs Go 1.25 or newer.
set -euo pipefail
cd "$(dirname "$0")/../../.."

version=0.39.4
binary=.tools/bin/cometbft

if [ -x "$binary" ] && [ "$("$binary" version)" = "$version" ]; then
    echo "CometBFT $version is in $binary"
    exit 0
fi

own=${COMETBFT:-}
if [ -n "$own" ] && [ "$own" != "$PWD/$binary" ] && [ -x "$own" ]; then
    echo "using CometBFT $("$own" version) in $own, as COMETBFT says"
    exit 0
fi

go=$(command -v go || command -v /usr/local/go/bin/go || true)
if [ -z "$go" ]; then
    echo "CometBFT is built with Go, which is not installed: get Go 1.25 or newer (https://go.dev/dl)," >&2
    echo "or name a cometbft $version of your own in COMETBFT." >&2
    exit 1
fi

echo "building CometBFT $version into .tools/bin …"
GOBIN="$PWD/.tools/bin" GOTOOLCHAIN=local "$go" install "github.com/cometbft/cometbft/cmd/cometbft@v$version"
test "$("$binary" version)" = "$version"
