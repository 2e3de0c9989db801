#!/bin/bash
# Level 2: level 1 with a scheduler and nodes that only pretend: their pods run and end by the rules of a file of kwok stages.
#
#   tests/cluster/kwok-up.sh DIR [STAGES.yaml [NODES]]        as it stands: kwok.yaml beside this script, one node
#
# It ends with control-down.sh DIR.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] && [ $# -le 3 ] || die "usage: $0 DIR [STAGES.yaml [NODES]]"
use_folder "$1"
stages=$(realpath "${2:-$here/kwok.yaml}")
[ -f "$stages" ] || die "$stages: no such file"
PATH=$("$here/binaries.sh" kwok)/bin:$PATH
"$here/control-up.sh" "$dir" --scheduler
trap stop EXIT # the logs stay for whoever asks why
trap 'exit 130' INT TERM
# kwok writes its defaults to HOME.
HOME=$dir start kwok kwok --kubeconfig admin.kubeconfig --config "$stages" --manage-all-nodes --node-lease-duration-seconds 40
for i in $(seq "${3:-1}"); do
  printf '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "fake-%d"}}\n' "$i"
done | KUBECACHEDIR=$dir/kubectl api create -f - >/dev/null
nodes_ready() { ! api get --raw /api/v1/nodes | grep -q '"taints"'; }
wait_for kwok 60 nodes_ready
trap - EXIT
say "${3:-1} pretended nodes up"
