#!/bin/sh
# Provides the shared libraries of PyTorch 2.11.0 with CUDA 13, those that a trainer without Python loads, and prints their folder.
# For images only: to build, libtorch.sh is enough, since CUDA is loaded at start where it lies beside libtorch_cpu.
#
# Pinned by hash like libtorch.sh's list, of which this one is a superset. All libraries lie in one folder, where each finds the
# others by $ORIGIN. Left out is what nothing of these loads (cuFFTw, cuSOLVER's multi-GPU part, nvBLAS, tools of CUPTI) and the
# transports of NVSHMEM, which c10d's groups do not use.
set -eu
list=$(cd "$(dirname "$0")" && pwd)/libtorch-cuda.txt
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
key=$(cat "$list" "$0" | sha256sum | cut -c1-16)
dir=$cache/libtorch-cuda-$key
if [ ! -d "$dir" ]; then
  mkdir -p "$cache"
  tmp=$(mktemp -d "$cache/libtorch-cuda.XXXXXX")
  trap 'rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  echo "libtorch-cuda: fetching 2.11.0 with CUDA 13 (2.5 GB, once)" >&2
  python3 -m pip install -q --no-cache-dir --no-deps --no-compile --require-hashes --only-binary=:all: --target "$tmp/wheels" \
    --root-user-action=ignore --python-version 3.12 --implementation cp --abi cp312 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux_2_18_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --platform manylinux2010_x86_64 --platform manylinux_2_12_x86_64 -r "$list" >&2
  (
    cd "$tmp/wheels"
    mkdir ../out
    for name in c10 c10_cuda torch_cpu torch_cuda torch_cuda_linalg torch_nvshmem caffe2_nvrtc; do
      mv "torch/lib/lib$name.so" ../out
    done
    mv torch/lib/libgomp.so.1 ../out
    for name in cublas cublasLt cufft cufile curand cusolver cusparse cudart cupti nvrtc nvrtc-builtins nvJitLink; do
      mv nvidia/cu13/lib/lib$name.so.* ../out
    done
    mv nvidia/cudnn/lib/libcudnn*.so.* nvidia/cusparselt/lib/libcusparseLt.so.* nvidia/nccl/lib/libnccl.so.* ../out
    mv nvidia/nvshmem/lib/libnvshmem_host.so.* ../out
  )
  mv -T "$tmp/out" "$dir" 2>/dev/null || [ -d "$dir" ] # another call may have been first
fi
echo "$dir"
