//! The parts of the schema that no derive gives: names out of the tables, patterns, rules in CEL, and the tightening of what the derive makes.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

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
pub(super) const SUBDOMAIN: &str = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
/// Folders that do not leave their volume.
pub(super) const RELATIVE: &str = r"^[^/.][^/]*(/[^/.][^/]*)*$";
/// Numbers ≥ 0 as text.
const DECIMAL: &str = r"^[0-9]{1,6}(\.[0-9]{1,12})?([eE]-?[0-9]{1,2})?$";

/// Schema of a manifest (`spec`, `status` and the rules over all of it), as it is installed.
pub fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let crd = serde_json::to_value(super::crd()).expect("a definition has string keys");
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
    });
    &SCHEMA
}

/// What the derive gives, with what it cannot say.
pub(super) fn strict(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let mut value = serde_json::to_value(crd).expect("a definition has string keys");
    let root = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    tighten(root);
    root["x-kubernetes-validations"] = json!([rule(
        r"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "'metadata.name ' + self.metadata.name + ' is no label: at most 63 lower-case letters, digits and hyphens'",
    )]);
    serde_json::from_value(value).expect("still a definition")
}

/// Removes what makes a schema weaker or an API server complain: an explicit null counts as absent, and only formats that Kubernetes knows are named.
fn tighten(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("nullable");
            if map.get("format").and_then(Value::as_str).is_some_and(|f| f.starts_with("uint")) {
                map.remove("format");
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

/// A rule whose message is an expression, so that it can name texts. Numbers it cannot name: the API server's cost estimate does not know how long
/// `string(…)` of one is, and refuses the whole definition.
fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "messageExpression": message})
}

/// A rule with a message.
fn fixed(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// What may change while runs exist: suspend, parallelism, and trials upwards (see [`trials_rules`]). Ruled on the spec as a whole, since a rule on an optional field
/// is skipped when the field is set or unset.
pub(super) fn spec_rules() -> Value {
    let remedy = "cannot be changed: the runs have begun; create another benchmark with it";
    let unchanged = |path: &str, optional: bool| {
        let same = format!("self.{path} == oldSelf.{path}");
        let expression = if optional {
            format!("has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || {same})")
        } else {
            same
        };
        fixed(&expression, &format!("spec.{path} {remedy}"))
    };
    let mut rules: Vec<Value> = ["recipe", "data", "trainer", "reference", "gate", "storage"]
        .map(|path| unchanged(path, false))
        .into_iter()
        .chain([unchanged("loadCheckpoint", true)])
        .collect();
    rules.extend(["matrix.backbones", "matrix.methods", "matrix.baseSeed"].map(|path| unchanged(path, false)));
    rules.push(unchanged("matrix.exclude", true));
    rules.into()
}

/// Trials may only grow. The rule stands at the number itself, whose value the API server then names.
pub(super) fn trials_rules() -> Value {
    json!([fixed(
        "self >= oldSelf",
        "trials can only be raised: the runs have begun; create another benchmark with fewer"
    )])
}

/// Between one run and [`MAX_RUNS`].
pub(super) fn matrix_rules() -> Value {
    let cells = "(size(self.backbones) * size(self.methods) - (has(self.exclude) ? size(self.exclude) : 0))";
    json!([
        fixed(&format!("{cells} > 0"), "the matrix has no run: exclude leaves no cell; exclude fewer"),
        fixed(
            &format!("{cells} * self.trials <= {MAX_RUNS}"),
            &format!(
                "backbones × methods × trials are more than {MAX_RUNS} runs: lower trials, or split it into several benchmarks"
            ),
        ),
    ])
}

/// Exactly one place, of a known kind.
pub(super) fn data_rules() -> Value {
    let schemes: Vec<&str> = Catalog::get().sources.iter().map(|s| s.scheme.as_ref()).collect();
    let known: Vec<String> = schemes.iter().map(|s| format!("self.uri.startsWith('{s}:')")).collect();
    let mut uri = rule(
        &format!("!has(self.uri) || {}", known.join(" || ")),
        &format!("'unknown kind of data in ' + self.uri + ': it must begin with {}:'", schemes.join(":, ")),
    );
    uri["fieldPath"] = ".uri".into();
    json!([fixed("has(self.uri) != has(self.volume)", "give exactly one of uri and volume"), uri])
}

/// CPU processes are for CPUs.
pub(super) fn trainer_rules() -> Value {
    let mut rule = fixed(
        "self.gpusPerNode == 0 || self.processesPerNode == 1",
        "more than one process is for CPUs, every GPU has one: set gpusPerNode: 0, or leave processesPerNode out",
    );
    rule["fieldPath"] = ".processesPerNode".into();
    json!([rule])
}

/// Ranges of decimals.
pub(super) fn overrides_rules() -> Value {
    let at_most_one = |field: &str| {
        let mut rule = rule(
            &format!("!has(self.{field}) || double(self.{field}) <= 1.0"),
            &format!("'{field} ' + self.{field} + ' is out of range: 0 to 1'"),
        );
        rule["fieldPath"] = format!(".{field}").into();
        rule
    };
    json!([at_most_one("momentum"), at_most_one("labelSmoothing")])
}
