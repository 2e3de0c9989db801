#!/bin/bash
# Ends what node-up.sh started in a folder, also after a kill -9 of that script, and removes cgroup and folder.
#
#   tests/cluster/node-down.sh DIR
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: $0 DIR"
use_folder "$1"
[ -e "$dir" ] || exit 0
[ "$(cat "$dir/kind" 2>/dev/null)" = node ] || die "$dir is not what node-up.sh makes"
stop
remove_cgroups
rm -rf --one-file-system "$dir"
