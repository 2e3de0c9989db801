//! What the operator says of a benchmark.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::row::{Environment, RunStatus};

/// What is known of a benchmark. Percentages are decimal strings with two digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BenchmarkStatus {
    /// Generation of the spec that this was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// One line for people, such as "4/6 done, 1 running, 1 queued".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub summary: String,
    /// The cell with the highest mean, such as "resnet20 cutmix 87.30".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub best: String,
    /// Runs of the plan.
    #[serde(default)]
    pub total: u32,
    /// Runs that wait for a slot or for their next attempt.
    #[serde(default)]
    pub queued: u32,
    /// Runs that are live, those that stop included.
    #[serde(default)]
    pub running: u32,
    /// Runs with a recorded result.
    #[serde(default)]
    pub succeeded: u32,
    /// Runs whose budget is spent.
    #[serde(default)]
    pub failed: u32,
    /// When the first run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When the last run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Every run, in the order of the plan, then those with a result that the plan has no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "atomic"))]
    pub runs: Vec<RunStatus>,
    /// Data, devices and libraries that results came from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "atomic"))]
    pub environments: Vec<Environment>,
    /// Every cell, in the order of the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "atomic"))]
    pub cells: Vec<CellStatus>,
    /// Accepted, Progressing, Suspended, Degraded, Complete, Failed, Finished, GatePassed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"])
    )]
    pub conditions: Vec<Condition>,
}

/// All trials of one backbone with one method. Percentages and their differences are decimal strings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CellStatus {
    /// Name of the backbone.
    #[schemars(length(max = 63))]
    pub backbone: String,
    /// The method as tables show it.
    #[schemars(length(max = 128))]
    pub method: String,
    /// Finished trials.
    pub n: u32,
    /// Mean top-1 in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub mean: Option<String>,
    /// Sample standard deviation in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub std: Option<String>,
    /// Half-width of the 95 % confidence interval in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub ci95: Option<String>,
    /// What the mean is compared with, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub reference: Option<String>,
    /// Mean − reference in percentage points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub delta: Option<String>,
    /// Pass, Regressed, Inconclusive or NoReference.
    #[schemars(length(max = 16))]
    pub verdict: String,
}
