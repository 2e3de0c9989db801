//! The custom resource `MixupBenchmark`: one manifest for a cluster and for a laptop.
//!
//! Every field has a default where one makes sense, a maximum where it can grow, and its unit in its text, which is what `kubectl explain`
//! prints. Numbers with a fraction are decimal strings: a custom resource has no floats that survive every client.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod affinity;
mod data;
mod gate;
mod matrix;
mod pod;
mod pod_rules;
mod recipe;
mod retention;
mod row;
mod rules;
mod schema;
mod status;
mod storage;
mod trainer;
mod volume;

#[cfg(test)]
mod tests;

pub use affinity::{
    Affinity, NodeAffinity, NodeExpression, NodeOperator, NodeSelector, NodeSelectorTerm, PodAffinity, PodExpression,
    PodOperator, PodSelector, PodTerm, PreferredNodes, PreferredPods,
};
pub use data::{DataSpec, DataVolume};
pub use gate::{
    DEFAULT_CONFIDENCE, DEFAULT_TOLERANCE, GateRule, GateSpec, InlineReference, OnInconclusive, ReferenceSpec,
};
pub use matrix::{BackboneRef, Exclusion, Matrix, MethodRef};
pub use pod::{EnvVar, PullPolicy, Resources, SecretRef, TaintEffect, Toleration, TolerationOperator};
pub use recipe::{Overrides, RecipeRef};
pub use retention::{DEFAULT_RUN_JOBS_TTL_SECONDS, RetentionSpec};
pub use row::{AttemptEnd, EndReason, Environment, ResultRow, RunPhase, RunProgress, RunStatus};
pub use schema::{API_VERSION, DECIMAL, GROUP, KIND, MAX_RUNS, end_reasons, schema};
pub use status::{BenchmarkStatus, CellStatus};
pub use storage::{StorageSpec, StorageVolume};
pub use trainer::TrainerSpec;
pub use volume::{
    ClaimVolume, ConfigMapVolume, CsiVolume, DATA_MOUNT, DOCUMENT_MOUNT, EXTRA_PREFIX, EmptyDirVolume, ExtraMount,
    ExtraVolume, Medium, OWN_MOUNTS, RUNS_MOUNT, SecretVolume,
};

/// Trains every backbone with every method under one recipe and compares top-1 with the published numbers.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mixbench.dev",
    version = "v1alpha1",
    kind = "MixupBenchmark",
    plural = "mixupbenchmarks",
    shortname = "mixb",
    category = "mixbench",
    namespaced,
    status = "BenchmarkStatus",
    derive = "PartialEq",
    doc = "Trains every backbone with every mixup method under one recipe and compares top-1 with the published numbers.",
    printcolumn = r#"{"name": "Summary", "type": "string", "jsonPath": ".status.summary", "description": "Runs by state"}"#,
    printcolumn = r#"{"name": "Gate", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"GatePassed\")].reason",
        "description": "Verdict over all cells"}"#,
    printcolumn = r#"{"name": "Best", "type": "string", "jsonPath": ".status.best", "description": "Cell with the highest mean top-1"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::spec()))]
pub struct MixupBenchmarkSpec {
    /// Stops every run after a checkpoint and starts none until it is false again. May be changed at any time.
    #[serde(default)]
    pub suspend: bool,
    /// Most runs at once, 1 to 64. May be changed at any time; lowering it stops nothing.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub parallelism: u32,
    /// How every run trains.
    pub recipe: RecipeRef,
    /// What is learnt.
    pub data: DataSpec,
    /// Which runs there are.
    pub matrix: Matrix,
    /// Processes and devices of each run.
    #[serde(default)]
    pub trainer: TrainerSpec,
    /// What the means are compared with.
    #[serde(default)]
    pub reference: ReferenceSpec,
    /// How the means are judged.
    #[serde(default)]
    pub gate: GateSpec,
    /// What is kept of each run.
    #[serde(default)]
    pub storage: StorageSpec,
    /// How long a cluster keeps what the benchmark made. May be changed at any time.
    #[serde(default)]
    pub retention: RetentionSpec,
    /// Path of a checkpoint whose weights, and nothing else, every run starts from. Cells then have no published number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub load_checkpoint: Option<String>,
}

const fn one() -> u32 {
    1
}

/// The definition of the resource as it is installed: what the derive gives, made strict.
pub fn crd() -> CustomResourceDefinition {
    schema::strict(MixupBenchmark::crd())
}
