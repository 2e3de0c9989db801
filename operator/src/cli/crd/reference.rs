//! The reference of the resource: every field out of its schema, and the closed lists of what the operator says.

use std::fmt::Write as _;

use mixbench_crds::benchmark::{API_VERSION, KIND, end_reasons, schema};
use serde_json::Value;
use strum::{EnumMessage, IntoEnumIterator};

use super::text;
use crate::aggregate::Outcome;
use crate::decide::policy::budget;
use crate::kube::events;
use crate::status::Reason;

/// The whole reference.
pub(super) fn markdown() -> String {
    let mut out = format!(
        "# Reference\n\n\
         Written by `make generate` out of the schema; `kubectl explain mixb.spec --recursive` says the same. A decimal \
         is a text with a number of at least 0: write `lr: \"0.1\"`. A quantity is an amount as Kubernetes writes it: `500m`, `8Gi`.\n\n\
         A manifest has `apiVersion: {API_VERSION}` and `kind: {KIND}` (short name `mixb`, category `mixbench`). `metadata.name` is a label: at \
         most 63 lower-case letters, digits and hyphens. What *changes* says may be changed while runs exist; everything else is fixed when the \
         benchmark is made.\n\n"
    );
    let root = schema();
    let fixed = root["properties"]["spec"]["x-kubernetes-validations"].to_string();
    out.push_str("## What is asked for\n\n");
    section(&mut out, "spec", &root["properties"]["spec"], Some(&fixed));
    out.push_str("## What the operator says\n\nOnly the operator writes the status.\n\n");
    section(&mut out, "status", &root["properties"]["status"], None);
    lists(&mut out);
    out
}

/// A table of an object's fields, then those of the objects in it.
fn section(out: &mut String, path: &str, node: &Value, fixed: Option<&str>) {
    let mut line = |text: String| writeln!(out, "{text}").expect("a string");
    line(format!("### {path}\n"));
    if let Some(about) = node["description"].as_str() {
        line(format!("{about}\n"));
    }
    line(match fixed {
        Some(_) => "| field | type | default | values | changes | meaning |\n|---|---|---|---|---|---|".into(),
        None => "| field | type | values | meaning |\n|---|---|---|---|".into(),
    });
    let required: Vec<&str> = node["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields: Vec<(&String, &Value)> = node["properties"].as_object().into_iter().flatten().collect();
    for (name, field) in &fields {
        let (kind, bounds) = (text::kind(field), text::bounds(field));
        let meaning = field["description"].as_str().unwrap_or_default();
        let cells = match fixed {
            Some(fixed) => vec![
                kind,
                text::default(field, required.contains(&name.as_str())),
                bounds,
                changes(&format!("{path}.{name}"), field, fixed).to_owned(),
                meaning.to_owned(),
            ],
            None => vec![kind, bounds, meaning.to_owned()],
        };
        let cells: Vec<String> = cells.iter().map(|c| text::cell(c)).collect();
        line(format!("| `{name}` | {} |", cells.join(" | ")));
    }
    line(String::new());
    // What the spec as a whole is ruled by is what the column of changes says.
    let rules = if path == "spec" { Vec::new() } else { text::rules(node) };
    if !rules.is_empty() {
        line("Refused with:\n".to_owned());
        for rule in rules {
            line(format!("* {rule}"));
        }
        line(String::new());
    }
    for (name, field) in fields {
        for (part, mark) in [(field, ""), (&field["items"], "[]"), (&field["additionalProperties"], "{}")] {
            if part["properties"].as_object().is_some_and(|p| !p.is_empty()) {
                section(out, &format!("{path}.{name}{mark}"), part, fixed);
            }
        }
    }
}

/// Whether a field may change, from the rules over the spec as a whole.
fn changes(path: &str, field: &Value, fixed: &str) -> &'static str {
    let inside = path.trim_start_matches("spec.").replace("[]", "");
    let steps: Vec<&str> = inside.split('.').collect();
    let ruled = (1..=steps.len()).any(|n| fixed.contains(&format!("self.{0} == oldSelf.{0}", steps[..n].join("."))));
    let upwards = field["x-kubernetes-validations"].to_string().contains("self >= oldSelf");
    match () {
        () if upwards => "upwards",
        () if ruled => "",
        // Some of its fields are fixed.
        () if fixed.contains(&format!("self.{inside}.")) => "in part",
        () => "yes",
    }
}

/// The closed lists.
fn lists(out: &mut String) {
    let mut line = |text: String| writeln!(out, "{text}").expect("a string");
    line("## Conditions\n".into());
    line("`Finished` is true when all has ended, well or not: wait for it, then ask for `GatePassed`.\n".into());
    line("| condition | reason | meaning |\n|---|---|---|".into());
    for reason in Reason::iter() {
        let about = reason.get_documentation().unwrap_or_default().trim_end_matches('.');
        let (condition, meaning) = about.split_once(": ").unwrap_or((about, ""));
        line(format!("| {condition} | `{}` | {} |", <&str>::from(reason), text::cell(meaning)));
    }
    line("\n## Ends of attempts\n".into());
    line("Another attempt is paid from a budget; nobody pays for what was free.\n".into());
    line("| reason | budget | further attempts | meaning |\n|---|---|---|---|".into());
    for (reason, meaning) in end_reasons() {
        let budget = budget(reason);
        let retries = budget.retries().map_or_else(|| "as many as needed".to_owned(), |n| n.to_string());
        line(format!(
            "| `{reason:?}` | {} | {retries} | {} |",
            budget.to_string().to_lowercase(),
            text::cell(&meaning)
        ));
    }
    line("\n## Events\n".into());
    line("| reason | meaning |\n|---|---|".into());
    for reason in events::Reason::iter() {
        let about = reason.get_documentation().unwrap_or_default();
        line(format!("| `{}` | {} |", <&str>::from(reason), text::cell(about)));
    }
    line("\n## Exit codes of mixbench\n".into());
    line("Those of `mixbench-trainer` stand in [protocol.md](protocol.md).\n".into());
    line("| code | outcome | meaning |\n|---|---|---|".into());
    for outcome in Outcome::iter() {
        let about = outcome.get_documentation().unwrap_or_default();
        let meaning = about.split_once(": ").map_or(about, |(_, meaning)| meaning).trim_end_matches('.');
        line(format!("| {} | {outcome} | {} |", outcome.code(), text::cell(meaning)));
    }
}
