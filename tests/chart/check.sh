#!/bin/bash
# Checks the chart and every manifest of the tree against a real API server, and installs, upgrades and removes the chart there.
# No root, no node: the controllers create the pods, which shows that they pass Pod Security, and nothing runs them.
#
#   tests/chart/check.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
chart=charts/mixbench
scratch=$(mktemp -d)
cluster=$scratch/cluster
clean_up() {
  tests/cluster/control-down.sh "$cluster"
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die() {
  echo "chart: $*" >&2
  exit 1
}
refuses() { # WORDS COMMAND…: the command fails and says WORDS
  local words=$1
  shift
  if "$@" >"$scratch/out" 2>&1; then die "this should have been refused: $*"; fi
  grep -qF -- "$words" "$scratch/out" || die "$* was refused without the words '$words': $(cat "$scratch/out")"
}

programs=$(tests/cluster/binaries.sh control kubeconform)
PATH=$programs/bin:$PATH
export KUBECONFIG=$cluster/admin.kubeconfig HELM_CACHE_HOME=$scratch/helm KUBECACHEDIR=$scratch/kubectl
version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
[ "$(sed -n 's/^appVersion: //p' $chart/Chart.yaml)" = "$version" ] || die "appVersion in $chart/Chart.yaml is not the workspace's version, $version"
variants=("$chart/values.yaml" tests/chart/cluster.yaml tests/chart/namespaced.yaml)
# helm says of each use that the custom resource's file is a link, which is how there is only one of it.
helm package -d "$scratch" $chart >/dev/null 2>&1
package=("$scratch"/mixbench-*.tgz)

for values in "${variants[@]}"; do
  helm lint --strict --quiet -f "$values" $chart 2>/dev/null || helm lint --strict -f "$values" $chart
done
for bad in replicaCount=2 replicas=two replicas=-1 namespaces=all "namespaces={A_b}" image.repository= image.digest=md5:0 \
  trainer.image.pullPolicy=Sometimes log.format=xml concurrency=0 metrics.service.port=0; do
  refuses "values don't meet the specifications of the schema" helm template mixbench "${package[0]}" --set "$bad"
done
refuses "serviceAccount.name is needed" helm template mixbench "${package[0]}" --set serviceAccount.create=false

tests/cluster/control-up.sh "$cluster"
kubectl create namespace mixbench-system >/dev/null
kubectl label namespace mixbench-system pod-security.kubernetes.io/enforce=restricted >/dev/null
helm install mixbench "${package[0]}" -n mixbench-system -f tests/chart/cluster.yaml >/dev/null
kubectl wait --for=condition=Established --timeout=30s crd/mixupbenchmarks.mixbench.dev >/dev/null

# The server has said that it knows the kind; it publishes the schema a moment later.
until [[ $(kubectl get --raw /openapi/v3) = *apis/mixbench.dev/v1alpha1* ]]; do sleep 0.2; done
mkdir "$scratch/schemas"
tests/chart/schemas.py "$scratch/schemas"
conforms() { kubeconform -strict -summary -schema-location "$scratch/schemas/{{.ResourceKind}}{{.KindSuffix}}.json" "$@"; }
for values in "${variants[@]}"; do
  helm template mixbench "${package[0]}" -n mixbench-system -f "$values" >"$scratch/rendered.yaml"
  conforms "$scratch/rendered.yaml" || die "$values renders what does not conform"
done
# The stages of kwok are of a kind that no server knows.
manifests=$(git ls-files --cached --others --exclude-standard '*.yaml' ':!charts' ':!tests/cluster/kwok.yaml' | xargs grep -l '^apiVersion: ')
# shellcheck disable=SC2086
conforms $manifests || die "a manifest of the tree does not conform"
sed 's/trials: 1/trails: 1/' crds/benchmarks/smoke.yaml >"$scratch/bad.yaml"
refuses "additional properties 'trails' not allowed" conforms "$scratch/bad.yaml"
kubectl create namespace selftest >/dev/null 2>&1 || true # some of them lie there
for manifest in $manifests; do
  kubectl apply --dry-run=server -f "$manifest" >"$scratch/out" 2>&1 || die "the API server refuses $manifest: $(cat "$scratch/out")"
done

until [ "$(kubectl get pods -n mixbench-system -o name | wc -l)" = 2 ]; do
  sleep 0.2
  [ $SECONDS -lt 120 ] || die "two pods of the operator were wanted: $(kubectl describe replicaset -n mixbench-system | tail -n 5)"
done

who=system:serviceaccount:mixbench-system:mixbench
can() { # yes|no NAMESPACE VERB RESOURCE…
  local expected=$1 namespace=$2
  shift 2
  [ "$(kubectl auth can-i "$@" -n "$namespace" --as "$who" 2>/dev/null || true)" = "$expected" ] || die "may $who $* in $namespace: expected $expected"
}
can yes default watch mixupbenchmarks
can yes default update mixupbenchmarks --subresource status
can yes default create jobs
can yes default patch events.events.k8s.io
can yes mixbench-system update leases/mixbench
can no mixbench-system update leases/another
can no default update leases/mixbench
for forbidden in "get secrets" "list configmaps" "get pods --subresource log" "create pods --subresource exec" "create pods" "delete pods" "update mixupbenchmarks" \
  "create mixupbenchmarks" "update jobs" "delete services" "create roles"; do
  # shellcheck disable=SC2086
  can no default $forbidden
done
for role in view edit; do
  kubectl create rolebinding "who-may-$role" --clusterrole=$role --user=$role >/dev/null
done
# The controller adds the chart's rights to those roles a moment later.
until kubectl auth can-i create mixupbenchmarks --as edit >/dev/null 2>&1; do
  sleep 0.2
  [ $SECONDS -lt 120 ] || die "who has the role edit may not create benchmarks"
done
who=view can yes default get mixupbenchmarks
who=view can no default delete mixupbenchmarks
[ "$(kubectl auth can-i create mixupbenchmarks --as anyone --as-group system:authenticated 2>/dev/null || true)" = no ] || die "everyone may create benchmarks"

# The custom resource goes with the chart, and stays with its benchmarks when the chart goes.
kubectl apply -f crds/benchmarks/smoke.yaml >/dev/null
cp -rL $chart "$scratch/next"
sed -i 's/^    - mixb$/&\n    - mixbs/' "$scratch/next/files/mixupbenchmark.yaml"
helm upgrade mixbench "$scratch/next" -n mixbench-system -f tests/chart/cluster.yaml >/dev/null
[ "$(kubectl get crd mixupbenchmarks.mixbench.dev -o jsonpath='{.spec.names.shortNames}')" = '["mixb","mixbs"]' ] || die "the upgrade of the chart left the old custom resource"
helm uninstall mixbench -n mixbench-system >/dev/null 2>&1
kubectl get mixupbenchmark smoke -o name >/dev/null || die "the benchmarks went with the chart"
kubectl create namespace team-a >/dev/null
kubectl create namespace team-b >/dev/null
helm install mixbench "${package[0]}" -n mixbench-system >/dev/null
helm upgrade mixbench "${package[0]}" -n mixbench-system -f tests/chart/namespaced.yaml --set serviceAccount.create=true,serviceAccount.name= >/dev/null
can yes team-a create jobs
can no default create jobs
can no default list mixupbenchmarks
kubectl get mixupbenchmark smoke -o name >/dev/null || die "the benchmarks went when the chart's custom resource was switched off"
echo "chart: all well" >&2
