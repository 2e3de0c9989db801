#!/bin/sh
# Provides PyTorch 2.11.0's C++ libraries and headers (CPU part) from its PyPI wheel, pinned by hash, and prints their folder.
#
#   LIBTORCH=$(scripts/libtorch.sh)
#
# The folder lies in the cache under the home directory, named after the hash of the list: another list is another folder, and a
# second call finds the first one's work. libtorch_cpu.so of that wheel also loads two small CUDA runtime libraries, which need no
# GPU. cccl, crt and nccl give headers for the NCCL part of the bridge (nccl.h of exactly the version that torch 2.11 links).
set -eu
list=$(cd "$(dirname "$0")" && pwd)/libtorch.txt
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
key=$(cat "$list" "$0" | sha256sum | cut -c1-16)
dir=$cache/libtorch-$key
if [ ! -e "$dir/build-version" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/libtorch.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT INT TERM
  echo "libtorch: fetching 2.11.0 (about 550 MB, once)" >&2
  python3 -m pip install -q --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: --target "$tmp/wheels" \
    --root-user-action=ignore --python-version 3.12 --implementation cp --abi cp312 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux_2_18_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -r "$list" >&2
  (
    cd "$tmp"
    mkdir -p out/lib
    mv wheels/torch/include out/include
    mv wheels/torch/lib/libtorch_cpu.so wheels/torch/lib/libc10.so wheels/torch/lib/libgomp.so.1 out/lib
    mv wheels/nvidia/cu13/lib/libcudart.so.13 wheels/nvidia/cu13/lib/libcupti.so.13 out/lib
    mv wheels/nvidia/cu13/include out/cuda-include
    mv wheels/nvidia/nccl/include/nccl.h out/cuda-include
    echo 'INPUT(libtorch_cpu.so)' > out/lib/libtorch.so # torch-sys asks for -ltorch, which is only a name
    echo 2.11.0 > out/build-version                     # checked by torch-sys; written last
  )
  mv -T "$tmp/out" "$dir" 2>/dev/null || [ -e "$dir/build-version" ] # another call may have been first
fi
echo "$dir"
