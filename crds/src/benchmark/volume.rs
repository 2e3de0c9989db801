//! Further volumes of a run's pods, of the kinds that Pod Security `restricted` permits.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::{SecretRef, same_fields};
use super::{pod_rules, schema};

/// Where data volumes are mounted.
pub const DATA_MOUNT: &str = "/data";
/// Where the folders of runs lie.
pub const RUNS_MOUNT: &str = "/runs";
/// Where the run's document lies.
pub const DOCUMENT_MOUNT: &str = "/etc/mixbench";
/// Places in a pod that belong to mixbench or to the machine: no further volume is mounted at, below or above them.
pub const OWN_MOUNTS: [&str; 7] = [DATA_MOUNT, RUNS_MOUNT, DOCUMENT_MOUNT, "/tmp", "/dev", "/proc", "/sys"];
/// What the names of further volumes begin with in a pod, so that they cannot meet those of mixbench.
pub const EXTRA_PREFIX: &str = "extra-";

/// A further volume, of exactly one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::volume()))]
pub struct ExtraVolume {
    /// Name that mounts call it by; in the pod it begins with extra-.
    #[schemars(length(min = 1, max = 57), regex(pattern = schema::NAME))]
    pub name: String,
    /// Files out of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapVolume>,
    /// Files out of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretVolume>,
    /// An empty folder that ends with the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty_dir: Option<EmptyDirVolume>,
    /// A claimed volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim: Option<ClaimVolume>,
    /// A volume that a CSI driver makes for the pod, such as a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi: Option<CsiVolume>,
}

impl ExtraVolume {
    /// The volume as a pod holds it; its name begins with [`EXTRA_PREFIX`].
    pub fn to_k8s(&self) -> core::Volume {
        core::Volume { name: format!("{EXTRA_PREFIX}{}", self.name), ..same_fields(self) }
    }
}

/// Files out of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapVolume {
    /// Name of the ConfigMap in the benchmark's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub name: String,
    /// Whether pods start without it where it does not exist.
    #[serde(default)]
    pub optional: bool,
}

/// Files out of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretVolume {
    /// Name of the Secret in the benchmark's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub secret_name: String,
    /// Whether pods start without it where it does not exist.
    #[serde(default)]
    pub optional: bool,
}

/// An empty folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EmptyDirVolume {
    /// Memory keeps it in RAM, where it counts against the pod's limit; the node's disk where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub medium: Option<Medium>,
    /// The most that it may hold, in bytes such as "10Gi".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::quantity")]
    pub size_limit: Option<String>,
}

/// Where an empty folder lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Medium {
    /// In RAM.
    Memory,
}

/// A claimed volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimVolume {
    /// Name of a PersistentVolumeClaim in the benchmark's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub claim_name: String,
    /// Whether all its mounts are read-only.
    #[serde(default)]
    pub read_only: bool,
}

/// A volume of a CSI driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CsiVolume {
    /// Name of the driver, such as gcsfuse.csi.storage.gke.io.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::SUBDOMAIN))]
    pub driver: String,
    /// Whether it is read-only.
    #[serde(default)]
    pub read_only: bool,
    /// File system that the driver mounts; the driver's own choice where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub fs_type: Option<String>,
    /// What the driver wants to know, such as bucketName.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::attributes")]
    pub volume_attributes: BTreeMap<String, String>,
    /// Secret that the driver mounts with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_publish_secret_ref: Option<SecretRef>,
}

/// Where a further volume is seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::mount()))]
pub struct ExtraMount {
    /// Name of a volume of spec.trainer.volumes.
    #[schemars(length(min = 1, max = 57), regex(pattern = schema::NAME))]
    pub name: String,
    /// Folder in the container, absolute, without "..".
    #[schemars(length(min = 2, max = 512), regex(pattern = schema::ABSOLUTE))]
    pub mount_path: String,
    /// Folder or file on the volume, relative, without ".."; the whole volume where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = schema::RELATIVE))]
    pub sub_path: Option<String>,
    /// Whether the container may only read it.
    #[serde(default)]
    pub read_only: bool,
}

impl ExtraMount {
    /// The mount as a container holds it; the volume's name begins with [`EXTRA_PREFIX`].
    pub fn to_k8s(&self) -> core::VolumeMount {
        core::VolumeMount { name: format!("{EXTRA_PREFIX}{}", self.name), ..same_fields(self) }
    }
}
