#!/bin/bash
# Ends what control-up.sh (and kwok-up.sh) started in a folder, also after a kill -9 of that script, and removes the folder.
#
#   tests/cluster/control-down.sh DIR
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# = 1 ] || die "usage: $0 DIR"
use_folder "$1"
[ -e "$dir" ] || exit 0
[ "$(cat "$dir/kind" 2>/dev/null)" = control ] || die "$dir is not what control-up.sh makes"
stop
rm -rf --one-file-system "$dir"
