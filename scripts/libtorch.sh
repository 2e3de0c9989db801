#!/bin/sh
# Provides PyTorch 2.11.0's C++ libraries and headers (CPU part) from its PyPI wheel and prints their folder.
#
#   LIBTORCH=$(scripts/libtorch.sh)
#
# libtorch_cpu.so of that wheel also loads two small CUDA runtime libraries, which need no GPU. cccl, crt and nccl give headers for
# the NCCL part of the bridge (nccl.h of exactly the version that torch 2.11 links).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=wheels.sh
. "$here/wheels.sh"

arrange() {
  mkdir -p out/lib
  mv wheels/torch/include out/include
  mv wheels/torch/lib/libtorch_cpu.so wheels/torch/lib/libc10.so wheels/torch/lib/libgomp.so.1 out/lib
  mv wheels/nvidia/cu13/lib/libcudart.so.13 wheels/nvidia/cu13/lib/libcupti.so.13 out/lib
  mv wheels/nvidia/cu13/include out/cuda-include
  mv wheels/nvidia/nccl/include/nccl.h out/cuda-include
  echo 'INPUT(libtorch_cpu.so)' >out/lib/libtorch.so # torch-sys asks for -ltorch, which is only a name
  echo 2.11.0 >out/build-version                     # checked by torch-sys
}

# shellcheck disable=SC2046
from_wheels "$here/libtorch.sh" "2.11.0 (about 550 MB, once)" $(torch_platforms)
