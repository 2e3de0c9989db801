//! Where and on what a run trains.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What is learnt, and where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::data_rules()))]
pub struct DataSpec {
    /// Which data set it is, such as imagenet-1k; may be left out where the URI is a builtin: one. Published numbers belong to a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub name: Option<String>,
    /// Where it lies: builtin:NAME (compiled in), idx:FOLDER (files of MNIST's kind) or imagefolder:FOLDER (train/CLASS/ and val/CLASS/).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub uri: Option<String>,
    /// A volume that it lies on, on a cluster; instead of uri.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<DataVolume>,
    /// sha256 in lower-case hex that the fingerprint of the data (file names, sizes, labels) must have; a run on other data ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
    /// Mean of each RGB channel, "0" to "1"; needed for a data set that is not known by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::three_decimals")]
    pub mean: Option<Vec<String>>,
    /// Standard deviation of each RGB channel, "0" to "1"; needed for a data set that is not known by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::three_decimals")]
    pub std: Option<Vec<String>>,
}

/// A folder on a volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataVolume {
    /// Name of a PersistentVolumeClaim in the benchmark's namespace; it is mounted read-only.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub claim_name: String,
    /// Folder on it, relative, without "..".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = schema::RELATIVE))]
    pub sub_path: Option<String>,
    /// How it is laid out.
    #[schemars(extend("enum" = schema::folder_schemes()))]
    pub format: String,
}

/// Processes and devices of each run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::trainer_rules()))]
pub struct TrainerSpec {
    /// Container image with mixbench-trainer, on a cluster; the operator's own release where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
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
}

impl Default for TrainerSpec {
    fn default() -> Self {
        Self {
            image: None,
            nodes: 1,
            gpus_per_node: 1,
            processes_per_node: 1,
            threads_per_process: 1,
            loader_threads: 1,
        }
    }
}

/// What is kept of each run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// Epochs between checkpoints, 1 to 1000.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 1000))]
    pub every_epochs: u32,
    /// Newest checkpoints that are kept, 1 to 100.
    #[serde(default = "StorageSpec::two")]
    #[schemars(range(min = 1, max = 100))]
    pub keep: u32,
}

impl StorageSpec {
    const fn two() -> u32 {
        2
    }
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self { every_epochs: 1, keep: 2 }
    }
}
