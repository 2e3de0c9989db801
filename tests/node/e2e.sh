#!/bin/bash
# Pods that train: builds the images, brings up a node of our own, installs the chart there, and runs tests/node against it. Needs
# root; `make e2e` builds what this takes. Leaves nothing behind.
#
#   tests/node/e2e.sh [WORDS…]     only tests whose names hold one of the words
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "e2e: $*" >&2; }
[ "$(id -u)" = 0 ] || {
  say "a node needs root: its containers have namespaces and cgroups"
  exit 1
}
target=$(realpath "${CARGO_TARGET_DIR:-target}")
images=$(scripts/images.sh)
for archive in operator trainer; do
  say "$archive.tar: $(($(stat -c %s "$images/$archive.tar") / 1000000)) MB"
done
version=$("$target/images/operator/mixbench" --version | cut -d' ' -f2)

scratch=$(mktemp -d "$target/e2e.XXXXXX")
cluster=$scratch/cluster
clean_up() {
  local status=$?
  if [ $status != 0 ] && [ -f "$cluster/admin.kubeconfig" ]; then
    tests/cluster/node-exec.sh "$cluster" sh -c 'kubectl get mixb,jobs,pods -A -o wide; kubectl logs -n mixbench-system deployment/mixbench --tail 40' >&2 || true
  fi
  tests/cluster/node-down.sh "$cluster"
  tests/cluster/check-clean.sh "$cluster" || status=1
  rm -rf --one-file-system "$scratch"
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# What the pods are compared with: the same programs on the same machine, without a cluster.
export MIXBENCH_E2E_CALM=$scratch/calm MIXBENCH_E2E_FIGURES=$scratch/figures
for manifest in crds/benchmarks/smoke.yaml tests/node/one.yaml; do
  name=$(basename "$manifest" .yaml)
  MIXBENCH_TRAINER=$target/images/trainer/cpu/bin/mixbench-trainer "$target/images/operator/mixbench" run "$manifest" \
    --out "$MIXBENCH_E2E_CALM/$name" >"$scratch/$name.log" 2>&1 || {
    cat "$scratch/$name.log" >&2
    exit 1
  }
done
say "mixbench run is done, $SECONDS s"

tests/cluster/node-up.sh "$cluster" "$images/operator.tar" "$images/trainer.tar"
on_node() { tests/cluster/node-exec.sh "$cluster" "$@"; }
on_node kubectl create namespace mixbench-system >/dev/null
on_node kubectl label namespace mixbench-system pod-security.kubernetes.io/enforce=restricted >/dev/null
on_node helm install mixbench charts/mixbench -n mixbench-system --set trainer.image.pullPolicy=Never,image.pullPolicy=Never \
  --wait --timeout 90s >/dev/null 2>"$scratch/helm.log" || {
  cat "$scratch/helm.log" >&2
  exit 1
}
say "mixbench $version is installed, $SECONDS s"

# The first tells seconds and is alone; two of the others fill a machine of two cores.
PATH=$(scripts/tools.sh):$PATH
run=(cargo nextest run --locked --offline -p mixbench-tests --test node --profile "${PROFILE:-default}" --ignore-default-filter --no-tests pass "$@")
on_node "${run[@]}" --test-threads 1 -E 'test(the_smoke_benchmark)'
on_node "${run[@]}" --test-threads 2 -E 'not test(the_smoke_benchmark)'
say "figures:"
cat "$MIXBENCH_E2E_FIGURES" >&2
say "all well, $SECONDS s"
