//! What the means are compared with, and how they are judged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// Tolerance where a manifest gives none, in percentage points.
pub const DEFAULT_TOLERANCE: &str = "0.3";
/// One-sided confidence where a manifest gives none.
pub const DEFAULT_CONFIDENCE: &str = "0.95";

/// What the means are compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceSpec {
    /// Whether published numbers are used where they apply: same recipe, backbone, method, parameters and data, nothing overridden.
    #[serde(default = "yes")]
    pub published: bool,
    /// Numbers of your own; they win over published ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), extend("x-kubernetes-list-type" = "atomic"))]
    pub inline: Vec<InlineReference>,
    /// Name of another benchmark in the same namespace, on a cluster. Once it is finished, cells with the same backbone and label are compared with its
    /// means, before published numbers and after your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub benchmark: Option<String>,
}

impl Default for ReferenceSpec {
    fn default() -> Self {
        Self { published: true, inline: Vec::new(), benchmark: None }
    }
}

const fn yes() -> bool {
    true
}

/// A number that one cell is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::inline()))]
pub struct InlineReference {
    /// Name of the cell's backbone.
    #[schemars(length(min = 1, max = 63))]
    pub backbone: String,
    /// Label of the cell's method, or its name where it has no label.
    #[schemars(length(min = 1, max = 63))]
    pub method: String,
    /// Top-1 in percent, such as "95.70".
    #[schemars(schema_with = "schema::decimal")]
    pub top1: String,
    /// Where the number comes from, for the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 200))]
    pub source: Option<String>,
}

/// How the means are judged. With tolerance t, a cell passes if the lower one-sided bound of mean − reference is at least −t, and has regressed
/// if the upper bound is below −t.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::gate()))]
pub struct GateSpec {
    /// What a cell must be: NotBelow its reference by more than the tolerance.
    #[serde(default)]
    pub rule: GateRule,
    /// How far below its reference a mean may lie, in percentage points.
    #[serde(default = "default_tolerance")]
    #[schemars(schema_with = "schema::decimal")]
    pub tolerance: String,
    /// Confidence of the one-sided bounds, at least "0.5" and below "1"; "none" compares the plain mean, which one trial is enough for.
    #[serde(default = "default_confidence")]
    #[schemars(length(max = 10), regex(pattern = "^(none|0\\.[5-9][0-9]{0,6})$"))]
    pub confidence: String,
    /// Finished trials that a verdict needs, 1 to 64; with a confidence never fewer than 2.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 64))]
    pub min_trials: u32,
    /// What an inconclusive cell counts as.
    #[serde(default)]
    pub on_inconclusive: OnInconclusive,
}

impl Default for GateSpec {
    fn default() -> Self {
        Self {
            rule: GateRule::default(),
            tolerance: default_tolerance(),
            confidence: default_confidence(),
            min_trials: 1,
            on_inconclusive: OnInconclusive::default(),
        }
    }
}

fn default_tolerance() -> String {
    DEFAULT_TOLERANCE.into()
}

fn default_confidence() -> String {
    DEFAULT_CONFIDENCE.into()
}

/// What a cell must be to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GateRule {
    /// Its mean is not below its reference by more than the tolerance.
    #[default]
    NotBelow,
}

/// What an inconclusive cell counts as in the outcome of a benchmark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
