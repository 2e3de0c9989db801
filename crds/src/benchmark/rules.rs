//! The rules of the custom resource in CEL: the same words on an API server and in `mixbench lint`.

use serde_json::{Value, json};

use super::schema::{MAX_RUNS, RESERVED_ENV, RESERVED_PREFIXES};
use super::volume::OWN_MOUNTS;
use crate::catalog::Catalog;

/// Resources that are GPUs.
const GPUS: [&str; 2] = ["nvidia.com/gpu", "amd.com/gpu"];

/// The rules over all of a manifest.
pub(super) fn root() -> Value {
    json!([
        rule(
            r"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "'metadata.name ' + self.metadata.name + ' is no label: at most 63 lower-case letters, digits and hyphens'",
        ),
        rule(
            "!has(self.spec) || !has(self.spec.reference) || !has(self.spec.reference.benchmark) || self.spec.reference.benchmark != self.metadata.name",
            "'spec.reference.benchmark ' + self.metadata.name + ' is this benchmark itself: name another one'",
        ),
    ])
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

/// What may change while runs exist: suspend, parallelism, and trials upwards (see [`trials`]). Ruled on the spec as a whole, since a rule on an optional field
/// is skipped when the field is set or unset.
pub(super) fn spec() -> Value {
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
pub(super) fn trials() -> Value {
    json!([fixed(
        "self >= oldSelf",
        "trials can only be raised: the runs have begun; create another benchmark with fewer"
    )])
}

/// Between one run and [`MAX_RUNS`].
pub(super) fn matrix() -> Value {
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
pub(super) fn data() -> Value {
    let schemes: Vec<&str> = Catalog::get().sources.iter().map(|s| s.scheme.as_ref()).collect();
    let known: Vec<String> = schemes.iter().map(|s| format!("self.uri.startsWith('{s}:')")).collect();
    let mut uri = rule(
        &format!("!has(self.uri) || {}", known.join(" || ")),
        &format!("'unknown kind of data in ' + self.uri + ': it must begin with {}:'", schemes.join(":, ")),
    );
    uri["fieldPath"] = ".uri".into();
    json!([fixed("has(self.uri) != has(self.volume)", "give exactly one of uri and volume"), uri])
}

/// CPU processes are for CPUs, and mounts are of volumes.
pub(super) fn trainer() -> Value {
    let at = |field: &str, mut rule: Value| {
        rule["fieldPath"] = field.into();
        rule
    };
    json!([
        at(
            ".processesPerNode",
            fixed(
                "self.gpusPerNode == 0 || self.processesPerNode == 1",
                "more than one process is for CPUs, every GPU has one: set gpusPerNode: 0, or leave processesPerNode out",
            )
        ),
        at(
            ".volumeMounts",
            fixed(
                "!has(self.volumeMounts) || self.volumeMounts.all(m, has(self.volumes) && self.volumes.exists(v, v.name == m.name))",
                "a mount names no volume of spec.trainer.volumes: add the volume, or correct the name",
            )
        ),
    ])
}

/// GPUs are counted in one place.
pub(super) fn resources() -> Value {
    let gpus = |list: &str| {
        let mut rule = fixed(
            &format!("!has(self.{list}) || !{}.exists(gpu, gpu in self.{list})", literal(&GPUS)),
            "GPUs come from spec.trainer.gpusPerNode: set it, and leave them out of resources",
        );
        rule["fieldPath"] = format!(".{list}").into();
        rule
    };
    json!([gpus("requests"), gpus("limits")])
}

/// What the operator and launch set themselves is theirs.
pub(super) fn env() -> Value {
    let prefixes: Vec<String> = RESERVED_PREFIXES.iter().map(|p| format!("self.name.startsWith('{p}')")).collect();
    let mut rule = rule(
        &format!("!({} || self.name in {})", prefixes.join(" || "), literal(&RESERVED_ENV)),
        "self.name + ' is set by mixbench itself: leave it out'",
    );
    rule["fieldPath"] = ".name".into();
    json!([rule])
}

/// What Kubernetes asks of a toleration.
pub(super) fn toleration() -> Value {
    json!([
        fixed(
            "has(self.key) || self.operator == 'Exists'",
            "a toleration without key is for every taint: give a key, or set operator: Exists",
        ),
        fixed(
            "self.operator != 'Exists' || !has(self.value) || self.value == ''",
            "operator: Exists compares no value: leave value out, or set operator: Equal",
        ),
        fixed(
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
            "tolerationSeconds are for taints that evict: set effect: NoExecute, or leave tolerationSeconds out",
        ),
    ])
}

/// What Kubernetes asks of an expression over labels.
pub(super) fn expression() -> Value {
    let values = "(has(self.values) ? size(self.values) : 0)";
    let mut rule = rule(
        &format!(
            "self.operator in ['In', 'NotIn'] ? {values} > 0 : (self.operator in ['Gt', 'Lt'] ? {values} == 1 : {values} == 0)"
        ),
        "'operator ' + self.operator + ' on ' + self.key + ' has the wrong number of values: In and NotIn take one or more, Gt and Lt one, \
         Exists and DoesNotExist none'",
    );
    rule["fieldPath"] = ".values".into();
    json!([rule])
}

/// A volume is of one kind.
pub(super) fn volume() -> Value {
    let kinds = ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi"];
    let counted: Vec<String> = kinds.iter().map(|kind| format!("(has(self.{kind}) ? 1 : 0)")).collect();
    json!([rule(
        &format!("{} == 1", counted.join(" + ")),
        &format!("'volume ' + self.name + ' must be of exactly one kind: give one of {}'", kinds.join(", ")),
    )])
}

/// A mount leaves alone what is mixbench's or the machine's.
pub(super) fn mount() -> Value {
    let mut rule = rule(
        &format!(
            "!{}.exists(own, self.mountPath == own || self.mountPath.startsWith(own + '/') || own.startsWith(self.mountPath + '/'))",
            literal(&OWN_MOUNTS)
        ),
        &format!("self.mountPath + ' meets a folder that is taken ({}): mount it elsewhere'", OWN_MOUNTS.join(", ")),
    );
    rule["fieldPath"] = ".mountPath".into();
    json!([rule])
}

/// Names as a list in CEL.
fn literal(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// Ranges of decimals.
pub(super) fn overrides() -> Value {
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
