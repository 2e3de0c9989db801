//! The rules in CEL for what becomes a part of a pod: what an API server would refuse of a Job is refused of the manifest.

use serde_json::{Value, json};

use super::rules::{at, fixed, rule};
use super::schema::QUALIFIED;
use super::volume::OWN_MOUNTS;

/// Environment variables that launch or the operator sets itself.
const RESERVED_ENV: [&str; 13] = [
    "RANK",
    "LOCAL_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "JOB_COMPLETION_INDEX",
    "OMP_NUM_THREADS",
    "OMP_DYNAMIC",
    "OMP_WAIT_POLICY",
    "MKL_NUM_THREADS",
    "MKL_DYNAMIC",
    "CUBLAS_WORKSPACE_CONFIG",
    "CUDA_VISIBLE_DEVICES",
];
/// What the names of further such variables begin with.
const RESERVED_PREFIXES: [&str; 2] = ["MIXBENCH_", "MASTER_"];
/// Resources that Kubernetes knows by a plain name; all others carry a domain.
const PLAIN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Kinds of further volumes.
const VOLUMES: [&str; 5] = ["configMap", "secret", "emptyDir", "persistentVolumeClaim", "csi"];

/// CPU processes are for CPUs, labels have keys, and mounts are of volumes.
pub(super) fn trainer() -> Value {
    let lost = "!(has(self.volumes) && self.volumes.exists(v, v.name == m.name))";
    json!([
        at(
            "processesPerNode",
            rule(
                "self.gpusPerNode == 0 || self.processesPerNode == 1",
                "'%d processes with %d GPUs: every GPU has one process; set gpusPerNode: 0, or leave processesPerNode out'\
                 .format([self.processesPerNode, self.gpusPerNode])",
            )
        ),
        keys("nodeSelector"),
        at(
            "volumeMounts",
            rule(
                &format!("!has(self.volumeMounts) || !self.volumeMounts.exists(m, {lost})"),
                &format!(
                    "'%s is no volume of spec.trainer.volumes: add it, or correct the name'\
                     .format([self.volumeMounts.filter(m, {lost})[0].name])"
                ),
            )
        ),
    ])
}

/// Labels of pods have keys.
pub(super) fn pod_selector() -> Value {
    json!([keys("matchLabels")])
}

/// Every key of a mapping is one of a label.
fn keys(field: &str) -> Value {
    every(
        field,
        &format!("k.matches('{QUALIFIED}')"),
        "is no key of a label: write NAME or DOMAIN/NAME, such as kubernetes.io/arch",
    )
}

/// A rule on every key `k` of a mapping; the message goes on after the first that breaks it.
fn every(field: &str, good: &str, message: &str) -> Value {
    at(
        field,
        rule(
            &format!("!has(self.{field}) || self.{field}.all(k, {good})"),
            &format!("'%s {message}'.format([self.{field}.filter(k, !({good}))[0]])"),
        ),
    )
}

/// Resources that a pod can have, GPUs counted in one place, and nothing requested beyond its limit.
pub(super) fn resources() -> Value {
    let gpus = |list: &str| {
        every(
            list,
            "!k.endsWith('/gpu') && !k.startsWith('nvidia.com/')",
            "comes from spec.trainer.gpusPerNode: set it, and leave it out of resources",
        )
    };
    let names = |list: &str| {
        let known = format!("k in {} || k.contains('/')", literal(&PLAIN));
        every(list, &known, &format!("is no resource: write {}, or one with a domain", PLAIN.join(", ")))
    };
    let both = "has(self.limits) && k in self.limits";
    let compared = "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k])))";
    json!([
        gpus("requests"),
        gpus("limits"),
        names("requests"),
        names("limits"),
        every(
            "requests",
            &format!("!({both}) || {compared} <= 0"),
            "is requested beyond its limit: lower it in requests, or raise it in limits",
        ),
        every(
            "requests",
            &format!("!k.contains('/') || {both} && {compared} == 0"),
            "is shared out in whole: give it in limits only",
        ),
    ])
}

/// What the operator and launch set themselves is theirs.
pub(super) fn env() -> Value {
    let prefixes: Vec<String> = RESERVED_PREFIXES.iter().map(|p| format!("self.name.startsWith('{p}')")).collect();
    let reserved = format!("({} || self.name in {})", prefixes.join(" || "), literal(&RESERVED_ENV));
    let message = "self.name + ' is set by mixbench itself: leave it out'";
    json!([at("name", rule(&format!("!{reserved}"), message))])
}

/// What Kubernetes asks of a toleration.
pub(super) fn toleration() -> Value {
    json!([
        fixed(
            "has(self.key) || self.operator == 'Exists'",
            "a toleration without key is for every taint: give a key, or set operator: Exists",
        ),
        at(
            "value",
            rule(
                "self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "'operator: Exists compares no value: leave ' + self.value + ' out, or set operator: Equal'",
            )
        ),
        at(
            "tolerationSeconds",
            rule(
                "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "'%d seconds are for a taint that evicts: set effect: NoExecute, or leave tolerationSeconds out'\
                 .format([self.tolerationSeconds])",
            )
        ),
    ])
}

/// What Kubernetes asks of an expression over labels.
pub(super) fn expression() -> Value {
    let values = "(has(self.values) ? size(self.values) : 0)";
    let many = format!("!(self.operator in ['In', 'NotIn']) || {values} > 0");
    let none = format!("!(self.operator in ['Exists', 'DoesNotExist']) || {values} == 0");
    let one = format!("!(self.operator in ['Gt', 'Lt']) || ({values} == 1 && self.values[0].matches('^[0-9]+$'))");
    let message = |wanted: &str| format!("self.key + ' ' + self.operator + ' {wanted}'");
    json!([
        at("values", rule(&many, &message("has no values: give at least one"))),
        at("values", rule(&none, &message("compares no values: leave them out"))),
        at("values", rule(&one, &message("compares with one whole number: give values: [\"NUMBER\"]"))),
    ])
}

/// A volume is of one kind.
pub(super) fn volume() -> Value {
    let counted: Vec<String> = VOLUMES.iter().map(|kind| format!("(has(self.{kind}) ? 1 : 0)")).collect();
    json!([rule(
        &format!("{} == 1", counted.join(" + ")),
        &format!("'volume ' + self.name + ' must be of exactly one kind: give one of {}'", VOLUMES.join(", ")),
    )])
}

/// A mount leaves alone what is mixbench's or the machine's.
pub(super) fn mount() -> Value {
    let meets = "self.mountPath == own || self.mountPath.startsWith(own + '/') || own.startsWith(self.mountPath + '/')";
    json!([at(
        "mountPath",
        rule(
            &format!("!{}.exists(own, {meets})", literal(&OWN_MOUNTS)),
            &format!(
                "self.mountPath + ' meets a folder that is taken ({}): mount it elsewhere'",
                OWN_MOUNTS.join(", ")
            ),
        )
    )])
}

/// Names as a list in CEL.
fn literal(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}
