//! What the operator says of a benchmark.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Every run, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "atomic"))]
    pub runs: Vec<RunStatus>,
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

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Id of the run.
    #[schemars(length(max = 128))]
    pub id: String,
    /// Where it stands.
    pub state: RunPhase,
    /// Last attempt, from 1; 0 before the first.
    #[serde(default)]
    pub attempt: u32,
    /// Top-1 in percent, once it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub top1: Option<String>,
    /// Top-5 in percent, once it is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 8))]
    pub top5: Option<String>,
    /// Seconds of training over all attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_seconds: Option<u32>,
    /// What its last attempt said, where that was no success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub message: Option<String>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RunPhase {
    /// Waits for a slot.
    Queued,
    /// Waits for its next attempt.
    BackingOff,
    /// Live.
    Running,
    /// Live, and was told to stop.
    Stopping,
    /// Recorded.
    Succeeded,
    /// Its budget is spent.
    Failed,
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
