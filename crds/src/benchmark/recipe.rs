//! How every run trains.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};
use crate::training::{Init, Precision, Stem};

/// A recipe and what is changed in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecipeRef {
    /// Name of the recipe.
    #[schemars(extend("enum" = schema::recipes()))]
    pub name: String,
    /// What differs from it. A cell whose training differs from the recipe has no published number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<Overrides>,
}

/// Values that replace a recipe's. Numbers with a fraction are written as strings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::overrides()))]
pub struct Overrides {
    /// Passes over the training split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub epochs: Option<u32>,
    /// Images per optimizer step over all processes. The learning rate is not scaled with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 131_072))]
    pub global_batch: Option<u32>,
    /// Images per forward pass: what one BatchNorm sees. globalBatch must be a multiple of microBatch × processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8192))]
    pub micro_batch: Option<u32>,
    /// Images per forward pass of a validation; changes no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 8192))]
    pub eval_batch: Option<u32>,
    /// Peak learning rate, such as "0.1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    pub lr: Option<String>,
    /// Learning rate that the cosine ends at, such as "0".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    pub min_lr: Option<String>,
    /// L2 penalty added to the gradient, such as "1e-4".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    pub weight_decay: Option<String>,
    /// Momentum of SGD, "0" to "1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    pub momentum: Option<String>,
    /// Epochs of linear warm-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub warmup_epochs: Option<u32>,
    /// ε of label smoothing, "0" to "1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::decimal")]
    pub label_smoothing: Option<String>,
    /// Arithmetic of forward and backward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// NHWC memory order inside the network; changes no result beyond rounding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channels_last: Option<bool>,
    /// Side of a training image in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 1024))]
    pub train_size: Option<u32>,
    /// Short side of a validation image before its centre is taken, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 2048))]
    pub test_resize: Option<u32>,
    /// Side of the centre of a validation image, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 8, max = 1024))]
    pub test_crop: Option<u32>,
    /// Where the weights start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// What a convolutional backbone does to its input first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
}
