#!/bin/sh
# Provides a Python with PyTorch 2.11.0 and torchvision for what compares with the reference (golden vectors, `make bench`), and
# prints the path of that Python. Nothing else needs it: neither the build, nor the tests, nor a training.
#
#   $(scripts/torch-env.sh) scripts/golden_torch.py
#
# The environment (about 5 GB, most of it CUDA libraries that `import torch` wants even on a CPU) lies in the cache under the home
# directory, named after the hash of its list and the version of Python.
set -eu
list=$(cd "$(dirname "$0")" && pwd)/torch-env.txt
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
python=${PYTHON:-python3}
key=$( (cat "$list"; "$python" --version) | sha256sum | cut -c1-16)
dir=$cache/torch-env-$key
if [ ! -e "$dir/complete" ]; then
  mkdir -p "$cache"
  rm -rf "$dir"
  echo "torch-env: fetching PyTorch 2.11.0 for Python (about 2.7 GB, once)" >&2
  "$python" -m venv "$dir" >&2
  "$dir/bin/python" -m pip install -q --no-cache-dir --no-compile --only-binary=:all: --disable-pip-version-check -r "$list" >&2
  touch "$dir/complete"
fi
echo "$dir/bin/python"
