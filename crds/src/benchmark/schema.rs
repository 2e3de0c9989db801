//! The parts of the schema that no derive gives: names out of the tables, patterns, rules in CEL, and the tightening of what the derive makes.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{EndReason, rules};
use crate::catalog::Catalog;
use crate::recipe::Recipe;

/// Group of the resource.
pub const GROUP: &str = "mixbench.dev";
/// `apiVersion` of a manifest.
pub const API_VERSION: &str = "mixbench.dev/v1alpha1";
/// `kind` of a manifest.
pub const KIND: &str = "MixupBenchmark";
/// Most runs of one benchmark.
pub const MAX_RUNS: u32 = 512;

/// Labels of methods: what is safe in tables, file names and XML.
pub(super) const LABEL: &str = r"^[A-Za-z0-9]([A-Za-z0-9 ._=+-]*[A-Za-z0-9])?$";
/// Names of data sets.
pub(super) const NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Names of Kubernetes objects.
pub(super) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Keys of labels and taints.
pub(super) const QUALIFIED: &str =
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// Values of labels and taints.
pub(super) const LABEL_VALUE: &str = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$";
/// Folders that do not leave their volume.
pub(super) const RELATIVE: &str = r"^[^/.][^/]*(/[^/.][^/]*)*$";
/// Absolute folders without `..` and without a colon, which a mount may not have.
pub(super) const ABSOLUTE: &str = r"^(/\.?[^/.:][^/:]*)+$";
/// Amounts of a resource ≥ 0.
pub(super) const QUANTITY: &str = r"^[0-9]{1,15}(\.[0-9]{1,9})?([mkMGTPE]|[KMGTPE]i)?$";
/// Pattern of numbers ≥ 0 as text.
pub const DECIMAL: &str = r"^[0-9]{1,6}(\.[0-9]{1,12})?([eE]-?[0-9]{1,2})?$";

/// Schema of a manifest (`spec`, `status` and the rules over all of it), as it is installed.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let crd = serde_json::to_value(super::crd()).expect("a definition has string keys");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    });
    &SCHEMA
}

/// Every [`EndReason`] and what it means, in their order.
pub fn end_reasons() -> Vec<(EndReason, String)> {
    let schema = schemars::schema_for!(EndReason).to_value();
    let variants = schema["oneOf"].as_array().into_iter().flatten();
    let read = |variant: &Value| {
        let reason = serde_json::from_value(variant["const"].clone()).ok()?;
        Some((reason, variant["description"].as_str()?.to_owned()))
    };
    variants.filter_map(read).collect()
}

/// What the derive gives, with what it cannot say.
pub(super) fn strict(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a definition has string keys");
    let root = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tighten(root);
    root["x-kubernetes-validations"] = rules::root();
    serde_json::from_value(value).expect("still a definition")
}

/// Removes what makes a schema weaker or an API server complain: an explicit null counts as absent, and only formats that Kubernetes knows are named.
/// Texts are one line each, as wide as their reader's terminal.
fn tighten(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if map.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                map.remove("format");
            }
            if let Some(Value::String(text)) = map.get_mut("description") {
                *text = text.replace('\n', " ");
            }
            map.values_mut().for_each(tighten);
        }
        Value::Array(items) => items.iter_mut().for_each(tighten),
        _ => {}
    }
}

/// A decimal number ≥ 0 as text.
pub(super) fn decimal(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 24, "pattern": DECIMAL})
}

/// Three decimal numbers, one for each RGB channel.
pub(super) fn three_decimals(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 3, "maxItems": 3, "items": decimal(generator), "x-kubernetes-list-type": "atomic"
    })
}

/// Parameters of a method: names and ranges are the catalog's matter.
pub(super) fn params(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 16, "additionalProperties": {"type": "string", "maxLength": 64}})
}

/// An amount of a resource.
pub(super) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 24, "pattern": QUANTITY})
}

/// Amounts of resources by their names; whole numbers may stand without quotes.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    let amount = json!({"x-kubernetes-int-or-string": true, "minimum": 0, "maxLength": 24, "pattern": QUANTITY});
    json_schema!({"type": "object", "maxProperties": 16, "additionalProperties": amount})
}

/// Labels by their keys.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    let value = json!({"type": "string", "maxLength": 63, "pattern": LABEL_VALUE});
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": value})
}

/// Values of a label.
pub(super) fn label_values(_: &mut SchemaGenerator) -> Schema {
    let value = json!({"type": "string", "maxLength": 63, "pattern": LABEL_VALUE});
    json_schema!({"type": "array", "maxItems": 32, "items": value, "x-kubernetes-list-type": "atomic"})
}

/// What a driver of volumes is told.
pub(super) fn attributes(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 1024}})
}

/// Names of all methods.
pub(super) fn methods() -> Value {
    Catalog::get().methods.iter().map(|m| Value::from(m.name.as_ref())).collect()
}

/// Names of all backbones.
pub(super) fn backbones() -> Value {
    Catalog::get().backbones.iter().map(|b| Value::from(b.name.as_ref())).collect()
}

/// Names of all recipes.
pub(super) fn recipes() -> Value {
    Recipe::all().iter().map(|r| Value::from(r.name.as_str())).collect()
}

/// Schemes that read a folder.
pub(super) fn folder_schemes() -> Value {
    Catalog::get().sources.iter().filter(|s| s.scheme != "builtin").map(|s| Value::from(s.scheme.as_ref())).collect()
}
