#!/bin/sh
# Checks what a build needs of the machine. What is missing is printed as one apt line (Debian, Ubuntu); exit 1 then.
#
#   scripts/check-tools.sh          for people
#   scripts/check-tools.sh --apt    only the missing packages' names, for scripts
set -eu
cd "$(dirname "$0")/.."
rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
packages=
need() { # COMMAND PACKAGE
  command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
need g++ g++
need cmake cmake
need nasm nasm
need make make
need git git
need python3 python3
need openssl openssl
python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip"
packages=${packages# }
if [ "${1:-}" = --apt ]; then
  echo "$packages"
  exit 0
fi

bad=
if [ -n "$packages" ]; then
  echo "missing: $packages" >&2
  echo "  apt-get update && apt-get install -y --no-install-recommends $packages" >&2
  bad=1
fi
have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
# The lints belong to a version of the compiler; an older one cannot build this, a newer one may warn of more.
if [ -z "$have" ] || [ "$(printf '%s\n' "$rust" "$have" | sort -V | head -n 1)" != "$rust" ]; then
  echo "missing: Rust $rust or newer (found: ${have:-none})" >&2
  echo "  rustup toolchain install $rust --profile minimal -c rustfmt -c clippy && rustup default $rust" >&2
  bad=1
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "unsupported: $(uname -sm); the pinned libtorch is for Linux x86_64 (set LIBTORCH to use another)" >&2
  [ -n "${LIBTORCH:-}" ] || bad=1
fi
[ -z "$bad" ] || exit 1
