#!/bin/bash
# Runs a command in the network of a node, with KUBECONFIG set, and kubectl and helm in PATH. Files and processes are the machine's.
#
#   tests/cluster/node-exec.sh DIR COMMAND…
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 2 ] || die "usage: $0 DIR COMMAND…"
use_folder "$1"
shift
PATH=$("$here/binaries.sh" control)/bin:$PATH KUBECONFIG=$dir/admin.kubeconfig
export PATH KUBECONFIG
exec nsenter --target "$(node_process)" --net -- "$@"
