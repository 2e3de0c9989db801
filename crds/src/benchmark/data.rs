//! What is learnt, and where it lies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// What is learnt, and where it lies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::data()))]
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
