//! The rules of the custom resource in CEL: the same words on an API server and in `mixbench lint`. Those of pods stand in [`super::pod_rules`].

use serde_json::{Value, json};

use super::schema::MAX_RUNS;
use crate::catalog::Catalog;

/// The rules over all of a manifest.
pub(super) fn root() -> Value {
    json!([
        rule(
            r"self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",
            "'metadata.name ' + self.metadata.name + ' is no label: at most 63 lower-case letters, digits and hyphens'",
        ),
        rule(
            "!has(self.spec) || !has(self.spec.reference) || !has(self.spec.reference.benchmark) \
             || self.spec.reference.benchmark != self.metadata.name",
            "'spec.reference.benchmark ' + self.metadata.name + ' is this benchmark itself: name another one'",
        ),
    ])
}

/// A rule whose message is an expression, so that it can name values: texts with `+`, everything else with `format`. An API server estimates what a rule
/// may cost and refuses the whole definition where one is too dear: `string(…)` of a number in a message is, for example.
pub(super) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "messageExpression": message})
}

/// A rule with a message.
pub(super) fn fixed(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// The rule as one about a field of what it stands at.
pub(super) fn at(field: &str, mut rule: Value) -> Value {
    rule["fieldPath"] = format!(".{field}").into();
    rule
}

/// What may change while runs exist: suspend, parallelism, retention, and trials upwards (see [`trials`]). Ruled on the spec as a whole, since a
/// rule on an optional field is skipped when the field is set or unset.
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

/// Trials may only grow.
pub(super) fn trials() -> Value {
    json!([rule(
        "self >= oldSelf",
        "'trials can only be raised, and %d is below %d: the runs have begun; create another benchmark with fewer'\
         .format([self, oldSelf])",
    )])
}

/// Between one run and [`MAX_RUNS`].
pub(super) fn matrix() -> Value {
    let excluded = "(has(self.exclude) ? size(self.exclude) : 0)";
    let cells = format!("(size(self.backbones) * size(self.methods) - {excluded})");
    let none = format!(
        "'%d backbones × %d methods without %d exclusions are no run: exclude fewer'\
         .format([size(self.backbones), size(self.methods), {excluded}])"
    );
    let many = format!(
        "'%d cells × %d trials are %d runs, at most {MAX_RUNS} are allowed: lower trials, or split it into several benchmarks'\
         .format([{cells}, self.trials, {cells} * self.trials])"
    );
    json!([
        at("exclude", rule(&format!("{cells} > 0"), &none)),
        at("trials", rule(&format!("{cells} * self.trials <= {MAX_RUNS}"), &many)),
    ])
}

/// Exactly one place, of a known kind; channels within their range.
pub(super) fn data() -> Value {
    let schemes: Vec<&str> = Catalog::get().sources.iter().map(|s| s.scheme.as_ref()).collect();
    let known: Vec<String> = schemes.iter().map(|s| format!("self.uri.startsWith('{s}:')")).collect();
    let uri = rule(
        &format!("!has(self.uri) || {}", known.join(" || ")),
        &format!("'unknown kind of data in ' + self.uri + ': it must begin with {}:'", schemes.join(":, ")),
    );
    let channels = |field: &str, wrong: &str, range: &str| {
        at(
            field,
            rule(
                &format!("!has(self.{field}) || !self.{field}.exists(c, {wrong})"),
                &format!("'%s is out of range: {range}'.format([self.{field}.filter(c, {wrong})[0]])"),
            ),
        )
    };
    json!([
        fixed("has(self.uri) != has(self.volume)", "give exactly one of uri and volume"),
        at("uri", uri),
        channels("mean", "double(c) > 1.0", "0 to 1"),
        channels("std", "double(c) > 1.0 || double(c) == 0.0", "above 0, at most 1"),
    ])
}

/// Ranges of decimals.
pub(super) fn overrides() -> Value {
    let at_most_one = |field: &str| {
        let message = format!("'{field} ' + self.{field} + ' is out of range: 0 to 1'");
        at(field, rule(&format!("!has(self.{field}) || double(self.{field}) <= 1.0"), &message))
    };
    json!([at_most_one("momentum"), at_most_one("labelSmoothing")])
}

/// A percentage.
pub(super) fn inline() -> Value {
    json!([at(
        "top1",
        rule("double(self.top1) <= 100.0", "'top1 ' + self.top1 + ' is out of range: 0 to 100 percent'"),
    )])
}

/// Percentage points.
pub(super) fn gate() -> Value {
    json!([at(
        "tolerance",
        rule(
            "double(self.tolerance) < 100.0",
            "'tolerance ' + self.tolerance + ' is out of range: at least 0 and below 100 percentage points'",
        ),
    )])
}
