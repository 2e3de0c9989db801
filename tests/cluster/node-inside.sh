#!/bin/bash
# The first process of a node's namespaces, started by node-up.sh: starts everything, says that it is ready, and fetches orphans
# from then on. When it ends, the kernel ends all of them.
#
#   node-inside.sh DIR PROGRAMS IMAGE…
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
use_folder "$1"
programs=$2
shift 2
run=$dir/run/inside # process numbers in here mean nothing outside
mkdir "$run"
address=10.200.0.1 # of the node, the API server and DNS
node="node-1"

# What the programs keep at fixed places lies in memory and goes with the namespace.
for place in /run /var/lib /var/log; do
  mount -t tmpfs -o mode=755 tmpfs $place
done

# kubelet sets these, and they are the whole machine's, not the namespace's. It finds them as it wants them, and they stay as they are.
mkdir "$dir/sysctl"
while read -r name value; do
  echo "$value" >"$dir/sysctl/${name##*/}"
  mount --bind "$dir/sysctl/${name##*/}" "/proc/sys/$name"
done <<'S'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
S

# The node's address is at one end of a wire that leads nowhere; without a default route, traffic to Services would be refused
# before a rule could turn it.
ip link set lo up
ip link add eth0 type veth peer name eth0-end
ip link set eth0-end up
ip addr add $address/24 dev eth0
ip link set eth0 up
ip route add default via 10.200.0.254
echo 1 >/proc/sys/net/ipv4/ip_forward

make_cgroups

# Pulls end at a closed port at once: every image is imported.
mkdir -p "$dir/registries/_default" "$dir/cni"
printf 'server = "http://127.0.0.1:9"\n[host."http://127.0.0.1:9"]\n  capabilities = ["pull", "resolve"]\n' >"$dir/registries/_default/hosts.toml"
cat >"$dir/cni/10-node.conflist" <<J
{"cniVersion": "0.4.0", "name": "node", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J
# restrict_oom_score_adj: root without CAP_SYS_RESOURCE cannot make a process less likely to be killed, and no sandbox would start.
cat >"$dir/containerd.toml" <<T
version = 2
root = "$dir/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "$dir/registries"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$programs/cni"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "$(command -v runc)"
      SystemdCgroup = false
T
start containerd containerd --config containerd.toml
import_images() {
  wait_for containerd 60 test -S /run/containerd/containerd.sock
  for image in "$@"; do
    ctr -n k8s.io images import "$image" >&2
  done
}
import_images "$@" &
importing=$!

identities "$address"
certificate kubelet "/O=system:nodes/CN=system:node:$node" "IP:$address,DNS:$node"
certificate kubelet-client /O=system:masters/CN=kube-apiserver "DNS:kube-apiserver"
user kubelet "system:node:$node" system:nodes
user kube-proxy system:kube-proxy
user coredns coredns system:masters
control_plane --allow-privileged --kubelet-preferred-address-types InternalIP \
  --kubelet-client-certificate pki/kubelet-client.crt --kubelet-client-key pki/kubelet-client.key
scheduler

cat >"$dir/kubelet.yaml" <<K
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failCgroupV1: false
enforceNodeAllocatable: []
oomScoreAdj: 0
maxOpenFiles: $(ulimit -Hn)
failSwapOn: false
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $dir/pki/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $dir/pki/kubelet.crt
tlsPrivateKeyFile: $dir/pki/kubelet.key
clusterDNS: [$address]
clusterDomain: cluster.local
resolvConf: ""
# The disk is the machine's, however full: nothing is evicted or collected for it.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
nodeStatusUpdateFrequency: 5s
podLogsDir: $dir/pods
volumePluginDir: $dir/volume-plugins
K
cat >"$dir/Corefile" <<C
cluster.local in-addr.arpa {
  bind $address
  ready $address:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $dir/coredns.kubeconfig
    ttl 5
  }
}
. {
  bind $address
  template ANY ANY {
    rcode NXDOMAIN
  }
}
C
start coredns coredns -conf Corefile
start kube-proxy kube-proxy --kubeconfig kube-proxy.kubeconfig --proxy-mode iptables --cluster-cidr 10.244.0.0/16 \
  --hostname-override $node --conntrack-max-per-core 0 --oom-score-adj 0
wait $importing || die "an image was not imported"
start kubelet kubelet --config kubelet.yaml --kubeconfig kubelet.kubeconfig --root-dir "$dir/kubelet" --cert-dir "$dir/pki" \
  --hostname-override $node --node-ip "$address"

node_ready() { api get --raw "/api/v1/nodes/$node" | grep -q '"type":"Ready","status":"True"'; }
wait_for kubelet 120 node_ready
dns_ready() { (exec 3<>"/dev/tcp/$address/8181" && printf 'GET /ready HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 '); }
wait_for coredns 60 dns_ready
wait_for kube-proxy 60 iptables -t nat -n -L KUBE-SERVICES
touch "$dir/ready"
exec catatonit -P
