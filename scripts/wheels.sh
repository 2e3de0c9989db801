# shellcheck shell=sh
# Folders made of PyPI wheels, pinned by hash; sourced by the scripts that provide them.
#
# A folder lies in the cache under the home directory, named after the hash of its list and of the script that makes it: another list
# is another folder, and a second call finds the first one's work.

# from_wheels SCRIPT WHAT FLAGS-OF-PIP…: prints the folder that SCRIPT makes of the wheels in its list, SCRIPT's name with .txt. Where it
# is missing, WHAT is told, and `arrange`, which SCRIPT defines, makes the folder `out` beside the folder `wheels`.
from_wheels() {
  script=$1 what=$2
  shift 2
  list=${script%.sh}.txt
  name=$(basename "$script" .sh)
  cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
  dir=$cache/$name-$(cat "$list" "$script" | sha256sum | cut -c1-16)
  if [ ! -d "$dir" ]; then
    mkdir -p "$cache"
    tmp=$(mktemp -d "$cache/$name.XXXXXX")
    trap 'rm -rf "$tmp"' EXIT
    trap 'exit 130' INT TERM
    echo "$name: fetching $what" >&2
    python3 -m pip install -q --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: --root-user-action=ignore \
      "$@" --target "$tmp/wheels" -r "$list" >&2
    (cd "$tmp" && set -e && arrange)
    mv -T "$tmp/out" "$dir" 2>/dev/null || [ -d "$dir" ] # another call may have been first
  fi
  echo "$dir"
}

# torch_platforms: pip's flags for the wheels of torch and of what it links, which are of no machine's Python.
torch_platforms() {
  echo "--python-version 3.12 --implementation cp --abi cp312 --abi none"
  for platform in _2_28 _2_27 _2_25 _2_18 _2_17 2014 2010 _2_12; do
    echo "--platform manylinux${platform}_x86_64"
  done
}
