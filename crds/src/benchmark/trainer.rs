//! On what a run trains: processes, devices, and the pods that hold them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affinity::Affinity;
use super::pod::{EnvVar, PullPolicy, Resources, SecretRef, Toleration};
use super::volume::{ExtraMount, ExtraVolume};
use super::{pod_rules, schema};

/// Processes and devices of each run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::trainer()))]
pub struct TrainerSpec {
    /// Container image with mixbench-trainer, on a cluster; the operator's own release where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = "^[!-~]+$"))]
    pub image: Option<String>,
    /// When the image is pulled; as Kubernetes chooses where absent: Always for the tag latest, else IfNotPresent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Secrets of the benchmark's namespace that the image is pulled with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub image_pull_secrets: Vec<SecretRef>,
    /// Machines (pods) of a run, 1 to 64.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 64))]
    pub nodes: u32,
    /// GPUs of each node, one process each; 0 trains on CPUs.
    #[serde(default = "super::one")]
    #[schemars(range(min = 0, max = 16))]
    pub gpus_per_node: u32,
    /// CPU processes of each node where gpusPerNode is 0, 1 to 64.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 64))]
    pub processes_per_node: u32,
    /// Arithmetic threads of each process, 1 to 256. Another count sums in another order and gives another result.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 256))]
    pub threads_per_process: u32,
    /// Threads of each process that decode and augment images, 0 to 64; 0 does it between the steps. Changes no result.
    #[serde(default = "super::one")]
    #[schemars(range(min = 0, max = 64))]
    pub loader_threads: u32,
    /// Cores, bytes of memory and further resources of each pod, on a cluster. GPUs come from gpusPerNode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Further environment variables of the trainer, on a cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub env: Vec<EnvVar>,
    /// Labels that a node must have, on a cluster.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that do not keep pods from a node, on a cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// Which nodes pods want, on a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Name of a PriorityClass, on a cluster; the cluster's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub priority_class_name: Option<String>,
    /// Name of a RuntimeClass, on a cluster, such as nvidia; the node's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub runtime_class_name: Option<String>,
    /// Further volumes of each pod, on a cluster, of kinds that Pod Security restricted permits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub volumes: Vec<ExtraVolume>,
    /// Where the further volumes are seen, on a cluster; each mountPath once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["mountPath"])
    )]
    pub volume_mounts: Vec<ExtraMount>,
}

impl Default for TrainerSpec {
    fn default() -> Self {
        Self {
            image: None,
            image_pull_policy: None,
            image_pull_secrets: Vec::new(),
            nodes: 1,
            gpus_per_node: 1,
            processes_per_node: 1,
            threads_per_process: 1,
            loader_threads: 1,
            resources: None,
            env: Vec::new(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            affinity: None,
            priority_class_name: None,
            runtime_class_name: None,
            volumes: Vec::new(),
            volume_mounts: Vec::new(),
        }
    }
}
