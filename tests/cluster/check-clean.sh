#!/bin/bash
# Says what a cluster that is down left behind on this machine; exit 1 if it is anything.
#
#   tests/cluster/check-clean.sh DIR
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: $0 DIR"
use_folder "$1"
unset MIXBENCH_CLUSTER_DIR # what is looked for in processes is not to be found in this one's children
PATH=$PATH:/usr/sbin:/sbin
status=0
left() { # WHAT FOUND
  [ -z "$2" ] && return
  say "left behind: $1: $2"
  status=1
}

folder=
[ ! -e "$dir" ] || folder=$dir
left "the folder" "$folder"
left "processes" "$(grep -lzsx "MIXBENCH_CLUSTER_DIR=$dir" /proc/[0-9]*/environ | grep -v "^/proc/$$/" | tr '\n' ' ')"
left "cgroups" "$(find /sys/fs/cgroup -maxdepth 2 -name "$cgroup" | tr '\n' ' ')"
left "mounts" "$(awk -v d="$dir" 'index($5, d) == 1 { print $5 }' /proc/self/mountinfo | tr '\n' ' ')"
# In the machine's own network, what a node's is made of.
left "network namespaces" "$(find /run/netns -name 'cni-*' 2>/dev/null | tr '\n' ' ')"
left "a bridge" "$(find /sys/class/net -name cni0)"
if [ "$(id -u)" = 0 ] && command -v iptables-save >/dev/null; then
  left "rules" "$(iptables-save 2>/dev/null | grep -E '^:(KUBE|CNI)-' | tr '\n' ' ')"
fi
exit $status
