#!/bin/bash
# Imports archives of images (docker or OCI) into a node that runs.
#
#   tests/cluster/node-import.sh DIR ARCHIVE…
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: $0 DIR ARCHIVE…"
use_folder "$1"
shift
PATH=$("$here/binaries.sh" node)/bin:$PATH
process=$(node_process)
for archive in "$@"; do
  # containerd's socket is seen only from the node's mounts.
  nsenter --target "$process" --mount --net -- ctr -n k8s.io images import "$(realpath "$archive")"
done
