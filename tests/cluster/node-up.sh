#!/bin/bash
# Level 3: a whole Kubernetes with one real node, which runs pods. Needs root.
#
#   tests/cluster/node-up.sh DIR [IMAGES…]        IMAGES: archives (docker or OCI) or folders of *.tar, imported before the node starts
#   tests/cluster/node-exec.sh DIR COMMAND…       a command that reaches it
#
# It lives in network, mount and process namespaces of its own: no rule, bridge, mount or process of it is among the machine's own,
# it reaches nothing but itself, and when its first process is killed the kernel ends and removes all the rest. Outside are only
# DIR and a cgroup.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: $0 DIR [IMAGES…]"
[ "$(id -u)" = 0 ] || die "a node needs root: its containers have namespaces and cgroups"
use_folder "$1"
shift
programs=$("$here/binaries.sh" node)
for path in "$dir" "$programs"; do
  case $path/ in
    /run/* | /var/run/* | /var/lib/* | /var/log/*) die "$path: the node has its own /run, /var/lib and /var/log and would not see this" ;;
  esac
done
images=("$programs"/images/*.tar)
for image in "$@"; do
  if [ -d "$image" ]; then
    for file in "$image"/*.tar; do
      [ ! -f "$file" ] || images+=("$(realpath "$file")")
    done
  else
    [ -f "$image" ] || die "$image is neither an archive of an image nor a folder of them"
    images+=("$(realpath "$image")")
  fi
done
new_folder node
trap 'stop; remove_cgroups' EXIT # the logs stay for whoever asks why
trap 'exit 130' INT TERM
begun=$(date +%s%N)
PATH=$programs/bin:$PATH:/usr/sbin:/sbin
start node unshare --net --mount --propagation shared --pid --fork --kill-child --mount-proc \
  "$here/node-inside.sh" "$dir" "$programs" "${images[@]}"
wait_for node 300 test -e "$dir/ready"
trap - EXIT
say "node up after $((($(date +%s%N) - begun) / 1000000)) ms; a shell that reaches it: $here/node-exec.sh $dir bash"
