//! The plan: every run of a benchmark, fully resolved, in the order in which they start.

use std::collections::BTreeMap;

use mixbench_crds::metric::Metric;
use mixbench_crds::run::{Param, Run};
use serde::{Deserialize, Serialize};

/// Version of [`Plan`] that this build writes and reads.
pub const PLAN_VERSION: u32 = 1;

/// All runs of a benchmark: `plan.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Name of the benchmark.
    pub name: String,
    /// Name of the recipe.
    pub recipe: String,
    /// How the epochs of a run become one top-1.
    pub metric: Metric,
    /// Backbone × method, in the order of the manifest.
    pub cells: Vec<PlannedCell>,
    /// Breadth first: trial 0 of every cell, then trial 1, so that a table fills early.
    pub runs: Vec<PlannedRun>,
    /// Most runs at once, ≥ 1.
    pub parallelism: u32,
    /// How cells are judged.
    pub gate: Gate,
    /// Images of the training split, where the data set is a known one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_images: Option<u64>,
    /// Volume claim that the data lie on; none where `place.dataUri` of the runs says it all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_volume: Option<String>,
}

/// All trials of one backbone with one method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedCell {
    /// Name of the backbone.
    pub backbone: String,
    /// Name of the method.
    pub method: String,
    /// The method as tables show it: its label, else its name.
    pub label: String,
    /// Every parameter of the method.
    pub params: BTreeMap<String, Param>,
    /// What the mean is compared with.
    pub reference: Reference,
}

/// What a cell's mean is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Reference {
    /// A number.
    Known {
        /// Top-1 in percent.
        top1: f64,
        /// Where it comes from.
        source: String,
    },
    /// No number applies.
    None {
        /// Why not, such as `published with alpha 0.2`.
        why: String,
    },
}

impl Reference {
    /// The number in percent, if there is one.
    pub const fn top1(&self) -> Option<f64> {
        match self {
            Self::Known { top1, .. } => Some(*top1),
            Self::None { .. } => None,
        }
    }
}

/// One run of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRun {
    /// The run as its trainer gets it, but for `attempt` and `nonce`.
    pub run: Run,
    /// Index into [`Plan::cells`].
    pub cell: usize,
}

/// How cells are judged against their references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// How far below its reference a mean may lie, in percentage points, ≥ 0.
    pub tolerance: f64,
    /// One-sided confidence of the bounds, in 0.5..1; none compares the plain mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Finished trials that a verdict needs, ≥ 1.
    pub min_trials: u32,
    /// What an inconclusive cell counts as.
    pub on_inconclusive: OnInconclusive,
}

/// What an inconclusive cell counts as in the outcome of a benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnInconclusive {
    /// The outcome is inconclusive too.
    #[default]
    Inconclusive,
    /// Passed.
    Pass,
    /// Regressed.
    Fail,
}

impl Plan {
    /// The planned run of this id.
    pub fn run(&self, id: &str) -> Option<&PlannedRun> {
        self.runs.iter().find(|r| r.run.id == id)
    }
}
