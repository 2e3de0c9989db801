#!/bin/bash
# What the scripts of the test cluster share; sourced, never run.
#
# A cluster is a folder: run/NAME.pid, log/NAME.log, what its programs keep, and admin.kubeconfig. Everything outside of the folder
# (an address of 127.0.0.0/8, a cgroup) is named after the folder's path, so that clusters in different folders never meet.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

say() { echo "cluster: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# use_folder DIR: sets `dir` to its absolute path, and `run`, `number` and `cgroup` to what is derived from it.
use_folder() {
  dir=$(realpath -m -- "$1")
  [[ $dir =~ ^[A-Za-z0-9._/-]+$ ]] || die "$dir: a cluster's folder may have only letters, digits and . _ - / in its path"
  number=$(printf %s "$dir" | cksum | cut -d' ' -f1)
  cgroup=mixbench-$number
  run=$dir/run
  export MIXBENCH_CLUSTER_DIR=$dir
}

# new_folder control|node: makes `dir` the folder of a new cluster. One that is up is refused, what a killed one left is removed.
new_folder() {
  if [ -f "$dir/kind" ]; then
    for file in "$dir"/run/*.pid; do
      [ -z "$(living "$file")" ] || die "$dir: a cluster is up; first: $here/$(cat "$dir/kind")-down.sh $dir"
    done
    "$here/$(cat "$dir/kind")-down.sh" "$dir"
  elif [ -n "$(ls -A "$dir" 2>/dev/null)" ]; then
    die "$dir holds something that is no cluster; name a folder that is empty or does not exist"
  fi
  mkdir -p "$dir"
  chmod 700 "$dir"
  echo "$1" >"$dir/kind"
  mkdir "$dir/run" "$dir/log" "$dir/pki"
}

# living PIDFILE: the process's number, if it lives and is this cluster's: each has `dir` as its working folder.
living() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$dir" ] && echo "$pid" || true
}

# start NAME COMMAND…: runs it in `dir`, detached from whoever called, its output in log/NAME.log. It writes its own number before
# it becomes COMMAND: whoever comes after a kill -9 of the caller finds it.
start() {
  local name=$1
  shift
  (
    cd "$dir"
    # shellcheck disable=SC2016
    exec setsid sh -c 'echo $$ >"$0"; exec "$@"' "$run/$name.pid" "$@" >"log/$name.log" 2>&1 </dev/null
  ) &
  # A caller that waits for its children is not to wait for this one.
  disown
}

# wait_for NAME SECONDS COMMAND…: until COMMAND succeeds. When NAME dies or the time is over, the end of its log is shown.
wait_for() {
  local name=$1 end=$((SECONDS + $2)) why=
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ -f "$run/$name.pid" ] && [ -z "$(living "$run/$name.pid")" ]; then
      why="$name ended"
    elif [ $SECONDS -ge $end ]; then
      why="$name was not ready in time"
    fi
    if [ -n "$why" ]; then
      tail -n 20 "$dir/log/$name.log" >&2 || true
      die "$why; its log ends as above ($dir/log/$name.log)"
    fi
    sleep 0.1
  done
}

# stop: kills every process of the cluster and waits until all are gone. Nothing here is worth an orderly end.
stop() {
  local pid file pids=
  for file in "$dir"/run/*.pid; do
    pid=$(living "$file")
    # The only child is the first process of a node: once it is gone, so are all processes of the node's namespace.
    [ -z "$pid" ] || pids="$pids $pid $(cat "/proc/$pid/task/$pid/children")"
  done
  # shellcheck disable=SC2086
  [ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
  for pid in $pids; do
    gone "$pid" || die "process $pid of $dir does not end"
  done
}

# gone PID: waits, at most 20 s, until the process has ended with all its threads. One that its parent has not fetched yet has.
gone() {
  local end=$((SECONDS + 20)) threads
  while threads=("/proc/$1/task/"*) && [ -e "${threads[0]}" ]; do
    [ ${#threads[@]} -gt 1 ] || ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null || return 0
    [ $SECONDS -lt $end ] || return 1
    sleep 0.02
  done
}

# certificate NAME SUBJECT ALTERNATIVE-NAMES: pki/NAME.crt and pki/NAME.key, signed by pki/ca, which is made first.
certificate() {
  local config=$dir/pki/openssl.cnf
  local request=(openssl req -x509 -config "$config" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650)
  # The machine's own configuration would make a CA of every certificate, which strict clients refuse.
  [ -f "$config" ] || printf '[req]\ndistinguished_name=dn\n[dn]\n' >"$config"
  [ -f "$dir/pki/ca.crt" ] || "${request[@]}" -subj /CN=mixbench-test-ca -keyout "$dir/pki/ca.key" -out "$dir/pki/ca.crt" \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign 2>/dev/null
  "${request[@]}" -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -subj "$2" -keyout "$dir/pki/$1.key" -out "$dir/pki/$1.crt" \
    -addext basicConstraints=critical,CA:false -addext "subjectAltName=$3" 2>/dev/null
}

# user NAME USER [GROUP]: NAME.kubeconfig for the API server at `server`, with a token of its own.
user() {
  local token
  token=$(openssl rand -hex 16)
  echo "$token,$2,$1,${3:-}" >>"$dir/pki/tokens.csv"
  cat >"$dir/$1.kubeconfig" <<K
apiVersion: v1
kind: Config
clusters: [{name: mixbench, cluster: {server: "$server", certificate-authority-data: $(base64 -w0 "$dir/pki/ca.crt")}}]
users: [{name: $1, user: {token: "$token"}}]
contexts: [{name: mixbench, context: {cluster: mixbench, user: $1}}]
current-context: mixbench
K
}

api() { kubectl --kubeconfig "$dir/admin.kubeconfig" --request-timeout 5s "$@"; }

# identities ADDRESS: certificates and users of a control plane on that address; more users may join until it starts.
identities() {
  address=$1
  server=https://$address:26443 # this and etcd's ports lie below those that the kernel gives to clients
  certificate apiserver /CN=kube-apiserver "IP:$address,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc,DNS:kubernetes.default"
  openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:prime256v1 -out "$dir/pki/sa.key" 2>/dev/null
  openssl pkey -in "$dir/pki/sa.key" -pubout -out "$dir/pki/sa.pub"
  user admin admin system:masters
  user controller-manager system:kube-controller-manager
  user scheduler system:kube-scheduler
}

# control_plane FLAGS-OF-THE-API-SERVER…: etcd, API server and controller manager, up when pods can be created in namespace default.
control_plane() {
  start etcd etcd --data-dir etcd --unsafe-no-fsync --listen-client-urls "http://$address:22379" \
    --advertise-client-urls "http://$address:22379" --listen-peer-urls "http://$address:22380" \
    --initial-advertise-peer-urls "http://$address:22380" --initial-cluster "default=http://$address:22380"
  start apiserver kube-apiserver --etcd-servers "http://$address:22379" --bind-address "$address" --advertise-address "$address" \
    --secure-port 26443 --tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key --client-ca-file pki/ca.crt \
    --service-account-key-file pki/sa.pub --service-account-signing-key-file pki/sa.key \
    --service-account-issuer https://kubernetes.default.svc --token-auth-file pki/tokens.csv --authorization-mode Node,RBAC \
    --service-cluster-ip-range 10.96.0.0/16 --enable-admission-plugins NodeRestriction "$@"
  wait_for etcd 60 test -d "$dir/etcd/member"
  wait_for apiserver 180 api get --raw /readyz
  # The limits for clients and Jobs are those of a large cluster: hundreds of Jobs at once are what scale tests are about.
  start controller-manager kube-controller-manager --kubeconfig controller-manager.kubeconfig --leader-elect=false --secure-port 0 \
    --service-account-private-key-file pki/sa.key --root-ca-file pki/ca.crt --use-service-account-credentials \
    --kube-api-qps 500 --kube-api-burst 1000 --concurrent-job-syncs 20
  wait_for controller-manager 120 api get --raw /api/v1/namespaces/default/serviceaccounts/default
}

scheduler() {
  start scheduler kube-scheduler --kubeconfig scheduler.kubeconfig --leader-elect=false --secure-port 0 --kube-api-qps 500 \
    --kube-api-burst 1000
}

# The node's cgroup: under each hierarchy of cgroup v1 (also the one that has no controller: runc enters all), or under cgroup v2's root.
cgroup_folders() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/$cgroup"
  else
    printf "%s$cgroup\n" /sys/fs/cgroup/*/
  fi
}

make_cgroups() {
  local folder file
  [ ! -f /sys/fs/cgroup/cgroup.controllers ] || echo "+cpuset +cpu +memory +pids" >/sys/fs/cgroup/cgroup.subtree_control
  for folder in $(cgroup_folders); do
    mkdir -p "$folder"
    for file in cpuset.cpus cpuset.mems; do # of cgroup v1, where they start empty and then no process may enter
      [ ! -f "$folder/../$file" ] || [ ! -f "$folder/$file" ] || cat "$folder/../$file" >"$folder/$file"
    done
  done
}

# After the last process is gone the kernel takes a moment until a cgroup counts as empty.
remove_cgroups() {
  local folder end=$((SECONDS + 20))
  for folder in $(cgroup_folders); do
    while [ -d "$folder" ]; do
      find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ ! -d "$folder" ] || [ $SECONDS -lt $end ] || die "$folder still holds processes: $(find "$folder" -name cgroup.procs -exec cat {} + | tr '\n' ' ')"
    done
  done
}

# node_process: a process in the namespaces of the node.
node_process() {
  local process
  process=$(living "$dir/run/node.pid")
  [ -n "$process" ] || die "$dir: no node is up; first: $here/node-up.sh $dir"
  echo "$process"
}
