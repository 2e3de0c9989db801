#!/bin/sh
# Provides the shared libraries of PyTorch 2.11.0 with CUDA 13, those that a trainer without Python loads, and prints their folder.
# For images only: to build, libtorch.sh is enough, since CUDA is loaded at start where it lies beside libtorch_cpu.
#
# The list is a superset of libtorch.sh's. All libraries lie in one folder, where each finds the others by $ORIGIN. Left out is what
# nothing of these loads (cuFFTw, cuSOLVER's multi-GPU part, nvBLAS, tools of CUPTI) and the transports of NVSHMEM, which c10d's groups
# do not use.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=wheels.sh
. "$here/wheels.sh"

arrange() {
  mkdir out
  for name in c10 c10_cuda torch_cpu torch_cuda torch_cuda_linalg torch_nvshmem caffe2_nvrtc; do
    mv "wheels/torch/lib/lib$name.so" out
  done
  mv wheels/torch/lib/libgomp.so.1 out
  for name in cublas cublasLt cufft cufile curand cusolver cusparse cudart cupti nvrtc nvrtc-builtins nvJitLink; do
    mv wheels/nvidia/cu13/lib/lib$name.so.* out
  done
  mv wheels/nvidia/cudnn/lib/libcudnn*.so.* wheels/nvidia/cusparselt/lib/libcusparseLt.so.* wheels/nvidia/nccl/lib/libnccl.so.* out
  mv wheels/nvidia/nvshmem/lib/libnvshmem_host.so.* out
}

# shellcheck disable=SC2046
from_wheels "$here/libtorch-cuda.sh" "2.11.0 with CUDA 13 (2.5 GB, once)" $(torch_platforms)
