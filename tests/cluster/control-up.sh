#!/bin/bash
# Level 1: the control plane alone, on an address of 127.0.0.0/8, without root. Nothing runs pods: who tests, writes their status.
#
#   tests/cluster/control-up.sh DIR [--scheduler]
#
# DIR/admin.kubeconfig leads to it, DIR/log/ has the logs. Clusters in different folders run side by side.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] && [ "${2:---scheduler}" = --scheduler ] || die "usage: $0 DIR [--scheduler]"
use_folder "$1"
PATH=$("$here/binaries.sh" control)/bin:$PATH
new_folder control
trap stop EXIT # the logs stay for whoever asks why
trap 'exit 130' INT TERM
begun=$(date +%s%N)
identities "127.$((number >> 16 & 127 | 64)).$((number >> 8 & 255)).$((number % 254 + 1))"
control_plane --endpoint-reconciler-type none # no Service leads to it: it has no address but a loopback one
[ $# = 1 ] || scheduler
trap - EXIT
say "control plane up after $((($(date +%s%N) - begun) / 1000000)) ms: KUBECONFIG=$dir/admin.kubeconfig"
