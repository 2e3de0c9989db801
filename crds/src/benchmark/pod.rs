//! Parts of a pod that a manifest may give: our own bounded types, which become those of Kubernetes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::{pod_rules, schema};

/// The type of Kubernetes with the same fields as one of ours.
pub(super) fn same_fields<T: Serialize, K: DeserializeOwned>(ours: &T) -> K {
    let fields = serde_json::to_value(ours).expect("our types have string keys");
    serde_json::from_value(fields).expect("our fields are a part of theirs: a test converts them all")
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PullPolicy {
    /// Before every start.
    Always,
    /// Where the node lacks it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl PullPolicy {
    /// As Kubernetes writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// A Secret in the benchmark's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::SUBDOMAIN))]
    pub name: String,
}

impl SecretRef {
    /// The reference as a pod holds it.
    pub fn to_k8s(&self) -> core::LocalObjectReference {
        core::LocalObjectReference { name: self.name.clone() }
    }
}

/// What a pod asks for and what it may use. Quantities are written as Kubernetes writes them: cores ("500m", 2), bytes ("8Gi").
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::resources()))]
pub struct Resources {
    /// What each pod is promised, such as cpu: 2 (cores) and memory: 8Gi (bytes); what limits names where absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "quantities")]
    #[schemars(schema_with = "schema::quantities")]
    pub requests: BTreeMap<String, String>,
    /// The most that each pod may use, such as cpu: 4 (cores) and memory: 16Gi (bytes). /dev/shm counts as memory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "quantities")]
    #[schemars(schema_with = "schema::quantities")]
    pub limits: BTreeMap<String, String>,
}

/// Quantities, whole numbers without quotes included.
fn quantities<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    let text = |value| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text,
    };
    let given = BTreeMap::<String, IntOrString>::deserialize(from)?;
    Ok(given.into_iter().map(|(name, value)| (name, text(value))).collect())
}

impl Resources {
    /// The resources as a container holds them.
    pub fn to_k8s(&self) -> core::ResourceRequirements {
        let quantities = |given: &BTreeMap<String, String>| {
            let all: BTreeMap<_, _> = given.iter().map(|(name, text)| (name.clone(), Quantity(text.clone()))).collect();
            (!all.is_empty()).then_some(all)
        };
        core::ResourceRequirements {
            claims: None,
            limits: quantities(&self.limits),
            requests: quantities(&self.requests),
        }
    }
}

/// An environment variable. What is secret belongs into a file of a secret volume, not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::env()))]
pub struct EnvVar {
    /// Name of the variable; those that mixbench sets itself are refused.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// Its value, taken as it is: $(NAME) is not replaced.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

impl EnvVar {
    /// The variable as a container holds it. A `$` is doubled, so that no reference is replaced.
    pub fn to_k8s(&self) -> core::EnvVar {
        core::EnvVar { name: self.name.clone(), value: Some(self.value.replace('$', "$$")), value_from: None }
    }
}

/// A taint that does not keep pods from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules::toleration()))]
pub struct Toleration {
    /// Key of the taint; every one where absent, which needs operator: Exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::QUALIFIED))]
    pub key: Option<String>,
    /// How the taint's value is compared: Equal to value, or Exists for any.
    #[serde(default)]
    pub operator: TolerationOperator,
    /// Value of the taint, where operator is Equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = schema::LABEL_VALUE))]
    pub value: Option<String>,
    /// Effect of the taint; every one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<TaintEffect>,
    /// Seconds that a pod stays on a node after such a taint came, where effect is NoExecute; for ever where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub toleration_seconds: Option<u32>,
}

impl Toleration {
    /// The toleration as a pod holds it.
    pub fn to_k8s(&self) -> core::Toleration {
        same_fields(self)
    }
}

/// How the value of a taint is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TolerationOperator {
    /// It is the same.
    #[default]
    Equal,
    /// There is one, whatever it is.
    Exists,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TaintEffect {
    /// Keeps them away.
    NoSchedule,
    /// Keeps them away where there is another node.
    PreferNoSchedule,
    /// Keeps them away and evicts those that run.
    NoExecute,
}
