//! Which nodes a run's pods want: the part of a pod's affinity that fits into a bounded schema. Unknown fields are refused as everywhere; kept unread,
//! they would escape the rule that a trainer does not change.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pod::same_fields;
use super::{pod_rules, schema};

/// Which nodes pods want, by labels of nodes and by other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Affinity {
    /// By labels of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_affinity: Option<NodeAffinity>,
    /// Near to other pods of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_affinity: Option<PodAffinity>,
    /// Away from other pods of the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_anti_affinity: Option<PodAffinity>,
}

impl Affinity {
    /// The affinity as a pod holds it.
    pub fn to_k8s(&self) -> core::Affinity {
        same_fields(self)
    }
}

/// By labels of nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeAffinity {
    /// What a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    /// What a node should have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred_during_scheduling_ignored_during_execution: Vec<PreferredNodes>,
}

/// Nodes of which at least one term is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Terms, of which one must be true.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

/// Nodes of which every expression is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelectorTerm {
    /// Expressions over labels of a node, which must all be true.
    #[schemars(length(min = 1, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<NodeExpression>,
}

/// Nodes that are preferred.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredNodes {
    /// How much it counts beside others, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
    /// Which nodes are preferred.
    pub preference: NodeSelectorTerm,
}

/// A comparison of a node's label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::expression()))]
pub struct NodeExpression {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::QUALIFIED))]
    pub key: String,
    /// How the label is compared.
    pub operator: NodeOperator,
    /// What it is compared with: several for In and NotIn, none for Exists and DoesNotExist, one whole number for Gt and Lt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_values")]
    pub values: Vec<String>,
}

/// How a node's label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NodeOperator {
    /// It is one of values.
    In,
    /// It is none of values.
    NotIn,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
    /// It is a greater number.
    Gt,
    /// It is a smaller number.
    Lt,
}

/// By other pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodAffinity {
    /// What must be so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub required_during_scheduling_ignored_during_execution: Vec<PodTerm>,
    /// What should be so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub preferred_during_scheduling_ignored_during_execution: Vec<PreferredPods>,
}

/// Other pods, and what counts as one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodTerm {
    /// Which pods are meant.
    pub label_selector: PodSelector,
    /// Label of nodes that are one place where their values are equal, such as kubernetes.io/hostname.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::QUALIFIED))]
    pub topology_key: String,
}

/// Other pods that are preferred or avoided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PreferredPods {
    /// How much it counts beside others, 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub weight: u32,
    /// Which pods, and what counts as one place.
    pub pod_affinity_term: PodTerm,
}

/// Pods by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::pod_selector()))]
pub struct PodSelector {
    /// Labels that a pod must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub match_labels: BTreeMap<String, String>,
    /// Expressions over labels of a pod, which must all be true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<PodExpression>,
}

/// A comparison of a pod's label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::expression()))]
pub struct PodExpression {
    /// Key of the label.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::QUALIFIED))]
    pub key: String,
    /// How the label is compared.
    pub operator: PodOperator,
    /// What it is compared with: several for In and NotIn, none for Exists and DoesNotExist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::label_values")]
    pub values: Vec<String>,
}

/// How a pod's label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PodOperator {
    /// It is one of values.
    In,
    /// It is none of values.
    NotIn,
    /// There is one.
    Exists,
    /// There is none.
    DoesNotExist,
}
