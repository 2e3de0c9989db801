#!/bin/bash
# Shows that the test cluster does what tests rely on, and leaves nothing behind, also after its scripts are killed.
#
#   tests/cluster/selftest.sh [control] [kwok] [node]        no argument: all, the last as root
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

scratch=$(mktemp -d)
clean_up() {
  local kind
  for kind in "$scratch"/*/kind; do
    [ ! -f "$kind" ] || "$here/$(cat "$kind")-down.sh" "${kind%/kind}" || true
  done
  rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM
PATH=$("$here/binaries.sh" control)/bin:$PATH
export KUBECACHEDIR=$scratch/kubectl

# same WHAT EXPECTED FOUND
same() { [ "$2" = "$3" ] || die "$1: expected '$2', found '$3'"; }

# killed UP-SCRIPT DOWN-SCRIPT: after a kill -9 in the middle of the start, all is brought down.
killed() {
  "$here/$1" "$scratch/killed" 2>/dev/null &
  local script=$!
  until [ -f "$scratch/killed/log/apiserver.log" ]; do sleep 0.05; done
  { kill -9 $script && wait $script; } 2>/dev/null || true
  "$here/$2" "$scratch/killed"
  "$here/check-clean.sh" "$scratch/killed"
}

control() {
  "$here/control-up.sh" "$scratch/one"
  "$here/control-up.sh" "$scratch/two"
  kubectl --kubeconfig "$scratch/one/admin.kubeconfig" create namespace only-one
  same "namespaces of the other cluster" "" "$(kubectl --kubeconfig "$scratch/two/admin.kubeconfig" get namespace only-one -o name --ignore-not-found)"
  # Who tests plays kubelet: a pod's status, its termination message too, is what is written.
  local k="kubectl --kubeconfig $scratch/one/admin.kubeconfig"
  $k create job told --image localhost/busybox:1
  until pod=$($k get pod -l job-name=told -o name) && [ -n "$pod" ]; do sleep 0.1; done
  $k patch "$pod" --subresource status -p '{"status": {"phase": "Succeeded", "containerStatuses": [{"name": "told", "image": "",
    "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": {"exitCode": 0, "message": "heard"}}}]}}'
  $k wait --for=condition=Complete job/told --timeout 30s
  for name in one two; do
    "$here/control-down.sh" "$scratch/$name"
    "$here/check-clean.sh" "$scratch/$name"
  done
  killed control-up.sh control-down.sh
}

kwok() {
  "$here/kwok-up.sh" "$scratch/kwok"
  local k="kubectl --kubeconfig $scratch/kwok/admin.kubeconfig"
  $k create -f "$here/selftest/pretended.yaml"
  $k wait --for=condition=Complete job/pretended --timeout 60s
  same "messages" "$(yes '{"top1": "95.10"}' | head -n 20)" \
    "$($k get pods -o jsonpath='{range .items[*]}{.status.containerStatuses[0].state.terminated.message}{"\n"}{end}')"
  "$here/control-down.sh" "$scratch/kwok"
  "$here/check-clean.sh" "$scratch/kwok"
}

node() {
  "$here/node-up.sh" "$scratch/node"
  local k="$here/node-exec.sh $scratch/node kubectl"
  $k get nodes
  $k create -f "$here/selftest/two-pods.yaml"
  $k wait -n selftest --for=condition=Complete job/pair --timeout 60s
  same "messages" "hello from 1 hello from 0" \
    "$($k get pods -n selftest --sort-by=.metadata.name -o jsonpath='{.items[*].status.containerStatuses[0].state.terminated.message}')"
  # Pods that run when the node is brought down go with it.
  $k run -n default sleeper --image localhost/busybox:1 --image-pull-policy Never --command -- sleep 1000
  $k wait --for=condition=Ready pod/sleeper --timeout 30s
  same "API server from a pod" open \
    "$($k exec sleeper -- sh -c 'nc -w 3 kubernetes.default.svc.cluster.local 443 </dev/null && echo open')"
  "$here/node-down.sh" "$scratch/node"
  "$here/check-clean.sh" "$scratch/node"
  killed node-up.sh node-down.sh
}

[ $# -gt 0 ] || set -- control kwok node
for level in "$@"; do
  case $level in
    control | kwok | node) $level ;;
    *) die "$level is no level: control, kwok, node" ;;
  esac
done
say "all well"
