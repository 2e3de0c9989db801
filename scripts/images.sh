#!/bin/bash
# Builds the images of operator and trainer from their Dockerfiles and prints the folder of their archives (docker save's format):
# operator.tar, trainer.tar. `make dist` comes first.
#
#   scripts/images.sh [cpu|cuda]     which libtorch the trainer gets; cuda fetches 2.5 GB, once
#
# The images are localhost/mixbench-operator:VERSION and localhost/mixbench-trainer:VERSION (VERSION-cuda). What goes into them is staged in
# target/images, where `docker build` finds it too (see the Dockerfiles). Here buildah builds, which needs no daemon, and the base image
# is made by mmdebstrap from packages of Debian that apt has verified, which needs no registry; MIXBENCH_BASE_IMAGE names one to pull
# instead. The archives are kept in the cache under the home directory, in a folder named after the hash of all that they are made of.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "images: $*" >&2; }
die() {
  say "$*"
  exit 1
}

variant=${1:-cpu}
case $variant in
  cpu) suffix= ;;
  cuda) suffix=-cuda ;;
  *) die "$variant is no variant: cpu, cuda" ;;
esac
for need in buildah mmdebstrap; do
  command -v $need >/dev/null || die "$need is missing: apt-get install --no-install-recommends buildah mmdebstrap"
done
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
operator=$target/x86_64-unknown-linux-gnu/dist/mixbench
trainer=$target/dist/mixbench-trainer
for program in "$operator" "$trainer"; do
  [ -x "$program" ] || die "$program is missing: make dist"
done
version=$("$operator" --version | cut -d' ' -f2)
cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
mkdir -p "$cache"

# The contexts. A fifth of libtorch's own libraries are symbol tables, which only debuggers read.
if [ "$variant" = cpu ]; then
  libtorch=$(scripts/libtorch.sh)
  libraries=("$libtorch"/lib/lib*.so.* "$libtorch/lib/libc10.so" "$libtorch/lib/libtorch_cpu.so")
else
  libtorch=$(scripts/libtorch-cuda.sh)
  libraries=("$libtorch"/*)
fi
staged=$target/images/trainer/$variant
if [ "$(cat "$staged.of" 2>/dev/null)" != "$libtorch" ]; then
  rm -rf "$staged" "$staged.of"
  mkdir -p "$staged/lib"
  cp "${libraries[@]}" "$staged/lib/"
  strip --strip-unneeded "$staged"/lib/libtorch_*.so "$staged"/lib/libc10*.so
  chmod 755 "$staged"/lib/*
  echo "$libtorch" >"$staged.of"
fi
install -D "$trainer" "$staged/bin/mixbench-trainer"
install -D "$operator" "$target/images/operator/mixbench"
if ldd "$operator" 2>/dev/null | grep -q '=>'; then die "$operator is not static, and its image has no libraries"; fi
# What an image lacks would show only when its first pod starts. libcuda comes with the machine's driver.
strangers=$(for file in "$staged"/bin/* "$staged"/lib/*; do ldd "$file"; done | grep -E 'not found|=> .*lib(torch|c10|cu|nv|nccl|gomp)' |
  grep -vF -e "=> $staged/" -e 'libcuda.so.1 => not found' || true)
[ -z "$strangers" ] || die "these would not be found in the image: $strangers"

base=${MIXBENCH_BASE_IMAGE:-}
if [ -z "$base" ]; then
  suite=trixie
  base_archive=$cache/base-$suite.tar
fi
inputs=$(sha256sum "$operator" "$trainer" operator/Dockerfile trainer/Dockerfile scripts/images.sh | cut -d' ' -f1)
key=$(echo "$inputs ${libtorch##*/} $base $variant $version" | sha256sum | cut -c1-16)
out=$cache/images-$key
if [ -f "$out/trainer.tar" ]; then
  echo "$out"
  exit 0
fi

tmp=$(mktemp -d "$cache/images.XXXXXX")
# A storage of its own, so that neither base nor layers stay in this machine's.
store=(buildah --root "$tmp/storage" --runroot "$tmp/run" --storage-driver vfs)
clean_up() { rm -rf "$tmp"; }
trap clean_up EXIT
trap 'exit 130' INT TERM

if [ -z "$base" ]; then
  base=localhost/debian:$suite-slim
  if [ ! -f "$base_archive" ]; then
    # shellcheck disable=SC2016 # apt expands these
    mirror=${MIXBENCH_DEBIAN_MIRROR:-$(apt-get indextargets --format '$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
      awk -F'|' '$1 == "Debian" && $2 !~ /-/ && $3 == "main" { print $4; exit }')}
    [ -n "$mirror" ] || die "apt has no source of Debian: run apt-get update, or set MIXBENCH_DEBIAN_MIRROR to the URI of a mirror"
    say "making $base"
    mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' \
      --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' --aptopt='APT::Sandbox::User "root"' "$suite" "$tmp/base.tar" \
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >&2
    mv "$tmp/base.tar" "$base_archive"
  fi
  container=$("${store[@]}" from scratch)
  "${store[@]}" add --quiet "$container" "$base_archive" / >/dev/null
  "${store[@]}" commit --quiet --rm "$container" "$base" >/dev/null
fi

revision=$(git rev-parse HEAD 2>/dev/null || true)
build() { # DOCKERFILE IMAGE CONTEXT ARGUMENT…
  local file=$1 image=$2 context=$3
  shift 3
  say "building $image"
  "${store[@]}" bud --quiet --isolation chroot --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$@" -t "$image" \
    -f "$file" "$context" >/dev/null
}
mkdir "$tmp/out"
name=localhost/mixbench-operator:$version
build operator/Dockerfile "$name" "$target/images/operator"
"${store[@]}" push --quiet "$name" "docker-archive:$tmp/out/operator.tar:$name"
name=localhost/mixbench-trainer:$version$suffix
build trainer/Dockerfile "$name" "$target/images/trainer" --build-arg "BASE=$base" --build-arg "VARIANT=$variant"
"${store[@]}" push --quiet "$name" "docker-archive:$tmp/out/trainer.tar:$name"

# Those of earlier builds are of no use any more; one of this hour may just be being imported.
find "$cache" -mindepth 1 -maxdepth 1 -name 'images-*' -mmin +60 -exec rm -rf {} +
mv -T "$tmp/out" "$out"
for archive in operator trainer; do
  say "$archive.tar: $(($(stat -c %s "$out/$archive.tar") / 1000000)) MB"
done
echo "$out"
