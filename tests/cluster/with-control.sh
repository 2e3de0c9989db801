#!/bin/bash
# Runs a command beside a control plane of its own (level 1) that has the custom resource and the roles of the chart, and takes it down
# when the command ends, whatever ends it. MIXBENCH_TEST_KUBECONFIG leads to it.
#
#   tests/cluster/with-control.sh COMMAND…
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

[ $# -ge 1 ] || die "usage: $0 COMMAND…"
scratch=$(mktemp -d)
down() {
  "$here/control-down.sh" "$scratch/control" || true
  rm -rf --one-file-system "$scratch"
}
trap down EXIT
trap 'exit 130' INT TERM HUP
"$here/control-up.sh" "$scratch/control"
export MIXBENCH_TEST_KUBECONFIG=$scratch/control/admin.kubeconfig
PATH=$("$here/binaries.sh" control)/bin:$PATH
use_folder "$scratch/control"
unset MIXBENCH_CLUSTER_DIR # the command is no part of the cluster
api create -f "$here/../../crds/mixupbenchmark.yaml" >&2
# Not `wait --for=condition=Established`, which fails where the definition has no conditions yet.
wait_for crd 60 api get mixupbenchmarks.mixbench.dev
api create namespace mixbench-system >&2
HELM_CACHE_HOME=$scratch/helm helm template mixbench "$here/../../charts/mixbench" -n mixbench-system --show-only templates/rbac.yaml \
  --show-only templates/user-roles.yaml 2>"$scratch/helm.log" >"$scratch/roles.yaml" || die "$(cat "$scratch/helm.log")"
api create -f "$scratch/roles.yaml" >&2
"$@"
