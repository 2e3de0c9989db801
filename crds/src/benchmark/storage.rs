//! What is kept of each run, and where.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

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
    /// A volume for checkpoints and results, on a cluster. Without one an attempt that ends early starts afresh, since its folder ends with its pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<StorageVolume>,
}

/// A folder on a volume that pods write to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageVolume {
    /// Name of a PersistentVolumeClaim in the benchmark's namespace. Runs on several machines need one that several can mount (ReadWriteMany).
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub claim_name: String,
    /// Folder on it, relative, without ".."; the benchmark makes a folder of its own below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = schema::RELATIVE))]
    pub sub_path: Option<String>,
}

impl StorageSpec {
    const fn two() -> u32 {
        2
    }
}

impl Default for StorageSpec {
    fn default() -> Self {
        Self { every_epochs: 1, keep: 2, volume: None }
    }
}
