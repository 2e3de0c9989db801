//! Which runs there are: backbones × methods × trials.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{rules, schema};

/// Backbones × methods × trials, at most 512 runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules::matrix()))]
pub struct Matrix {
    /// What classifies; each name once.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub backbones: Vec<BackboneRef>,
    /// What mixes; the same method may stand here several times with other parameters.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    pub methods: Vec<MethodRef>,
    /// Runs of each cell that differ in nothing but their seed, 1 to 64. May be raised at any time.
    #[serde(default = "super::one")]
    #[schemars(range(min = 1, max = 64), extend("x-kubernetes-validations" = rules::trials()))]
    pub trials: u32,
    /// Seed of trial 0; trial t has seed baseSeed + t.
    #[serde(default)]
    #[schemars(range(min = 0, max = 4_294_967_295_u64))]
    pub base_seed: u64,
    /// Cells that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub exclude: Vec<Exclusion>,
}

/// A backbone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackboneRef {
    /// Name of the backbone.
    #[schemars(extend("enum" = schema::backbones()))]
    pub name: String,
}

/// A mixing method with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MethodRef {
    /// Name of the method.
    #[schemars(extend("enum" = schema::methods()))]
    pub name: String,
    /// What tables call it. Without one: the name, and the given parameters where the name stands here more than once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40), regex(pattern = schema::LABEL))]
    pub label: Option<String>,
    /// Parameters that differ from the recipe's, such as alpha: "0.2". `mixbench-trainer catalog` lists them with their ranges.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::params")]
    pub params: BTreeMap<String, String>,
}

/// A cell that is left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Exclusion {
    /// Name of its backbone.
    #[schemars(length(min = 1, max = 63))]
    pub backbone: String,
    /// Label of its method, or its name where it has no label.
    #[schemars(length(min = 1, max = 63))]
    pub method: String,
}
