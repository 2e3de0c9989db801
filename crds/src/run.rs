//! One fully resolved run: what a trainer needs to know, and nothing that it has to look up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hex;
use crate::training::{Stem, Training};

/// Version of [`Run`] that this build writes and reads.
pub const RUN_VERSION: u32 = 1;

/// A run: its identity (`spec`, hashed), its labels, and where it happens (`place`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// [`RUN_VERSION`].
    pub version: u32,
    /// `BACKBONE-METHOD-TRIAL-HASH`, where HASH is [`RunSpec::hash`].
    pub id: String,
    /// Number of the trial within its cell, from 0.
    pub trial: u32,
    /// Name of the recipe that `spec.training` came from.
    pub recipe: String,
    /// Everything that the result depends on.
    pub spec: RunSpec,
    /// Attempt, from 1.
    #[serde(default)]
    pub attempt: u32,
    /// Repeated in every message of this attempt.
    #[serde(default)]
    pub nonce: String,
    /// Where the run happens; outside the identity.
    #[serde(default)]
    pub place: Place,
}

/// Everything that the result of a run depends on. Its hash names the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunSpec {
    /// What classifies.
    pub backbone: Backbone,
    /// What mixes.
    pub method: Method,
    /// What is learnt.
    pub data: Data,
    /// How it is trained.
    pub training: Training,
    /// Processes and devices.
    pub world: World,
    /// Seed of every draw.
    pub seed: u64,
    /// Checkpoint whose weights (and nothing else) the run starts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_checkpoint: Option<String>,
}

/// A backbone and the variant of it that the data need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backbone {
    /// Name in the catalog.
    pub name: String,
}

/// A method with all its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// Name in the catalog.
    pub name: String,
    /// Every parameter of the method, defaults filled in.
    #[serde(default)]
    pub params: BTreeMap<String, Param>,
}

/// Value of a method's parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Param {
    /// On or off.
    Bool(bool),
    /// A finite number.
    Number(f64),
    /// One of the choices in the catalog.
    Text(String),
}

impl Param {
    /// The number, if it is one.
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(n) => Some(*n),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }
}

impl std::fmt::Display for Param {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(v) => v.fmt(f),
            Self::Number(v) => v.fmt(f),
            Self::Text(v) => v.fmt(f),
        }
    }
}

/// What the data *are*; where they lie is in [`Place`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Data {
    /// Declared name, such as `imagenet-1k`.
    pub name: String,
    /// sha256 (lower-case hex) that the fingerprint of the data must have, where the manifest gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Mean of each RGB channel in 0..1.
    pub mean: [f64; 3],
    /// Standard deviation of each RGB channel in 0..1.
    pub std: [f64; 3],
}

/// Processes and devices of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct World {
    /// Machines (or pods).
    pub nodes: u32,
    /// GPUs of each machine, one process each; 0 trains on CPUs.
    pub gpus_per_node: u32,
    /// CPU processes of each machine where `gpus_per_node` is 0.
    pub processes_per_node: u32,
    /// Arithmetic threads of each process; another count gives other sums.
    pub threads_per_process: u32,
}

impl World {
    /// Processes of one machine.
    pub const fn local_size(&self) -> u32 {
        if self.gpus_per_node > 0 { self.gpus_per_node } else { self.processes_per_node }
    }

    /// Processes of the run.
    pub const fn size(&self) -> u32 {
        self.nodes * self.local_size()
    }
}

/// Where a run happens. Nothing here may change what it computes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Place {
    /// URI of the data: `builtin:NAME`, `idx:DIR` or `imagefolder:DIR`.
    pub data_uri: String,
    /// Threads of each process that decode and augment; 0 does it in the training thread.
    pub loader_threads: u32,
    /// Epochs between checkpoints, ≥ 1.
    pub checkpoint_every: u32,
    /// Newest checkpoints that are kept, ≥ 1.
    pub checkpoint_keep: u32,
    /// Checkpoint to go on from with everything (weights, optimizer, position); it must be of this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<String>,
    /// Go on from the newest valid checkpoint in the run's folder, if there is one.
    pub auto_resume: bool,
}

/// Why a run document cannot be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// Not JSON, or not a run.
    #[error("not a run: {0}")]
    Malformed(String),
    /// Another version.
    #[error(
        "run version {0} is not {RUN_VERSION}, which this build reads; use the same release of mixbench and mixbench-trainer"
    )]
    Version(u32),
    /// The id is not the one that the spec hashes to.
    #[error(
        "the run is named `{id}` but its spec hashes to {hash}; write run.json with `mixbench plan` instead of editing it"
    )]
    Altered {
        /// The id.
        id: String,
        /// What the spec hashes to.
        hash: String,
    },
}

impl RunSpec {
    /// First ten hex digits of the sha256 of the canonical form: JSON with sorted keys and no white space.
    pub fn hash(&self) -> String {
        let value = serde_json::to_value(self).expect("a spec has string keys and finite numbers");
        let mut text = String::new();
        canonical(&value, &mut text);
        digest(&text, 5)
    }

    /// The id of trial `trial` of this spec.
    pub fn id(&self, trial: u32) -> String {
        format!("{}-{}-{trial}-{}", dns(&self.backbone.name), dns(&self.method.name), self.hash())
    }

    /// Stem of the backbone.
    pub const fn stem(&self) -> Stem {
        self.training.stem
    }
}

impl Run {
    /// Reads a run and checks its version and that its id belongs to its spec.
    ///
    /// # Errors
    /// [`RunError`]; unknown fields are ignored.
    pub fn parse(text: &str) -> Result<Self, RunError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let malformed = |e: serde_json::Error| RunError::Malformed(e.to_string());
        let head: Head = serde_json::from_str(text).map_err(malformed)?;
        if head.version != RUN_VERSION {
            return Err(RunError::Version(head.version));
        }
        let run: Self = serde_json::from_str(text).map_err(malformed)?;
        if run.id != run.spec.id(run.trial) {
            return Err(RunError::Altered { hash: run.spec.hash(), id: run.id });
        }
        Ok(run)
    }

    /// Nonce of attempt `attempt` under an owner (the UID of a custom resource, or the name of an output folder): pure, so that it is the same
    /// after a restart.
    pub fn nonce_of(owner: &str, run: &str, attempt: u32) -> String {
        let text = format!("{owner}\n{run}\n{attempt}");
        digest(&text, 8)
    }
}

/// The first `bytes` bytes of the text's sha256 in hex.
fn digest(text: &str, bytes: usize) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..bytes])
}

/// Names with underscores, as Kubernetes takes them.
fn dns(name: &str) -> String {
    name.replace('_', "-")
}

fn canonical(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            out.push('{');
            for (i, (key, value)) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                canonical(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}
