//! The schema of the custom resource, applied here as an API server applies it with strict field validation.

use std::sync::LazyLock;

use kube::core::cel::Validator;
use mixbench_crds::benchmark::{API_VERSION, GROUP, KIND, schema};
use regex::Regex;
use serde_json::Value;

use super::problem::Problem;
use crate::manifest::{Node, Yaml};

/// Most of a `generateName` that an API server keeps in front of its five letters.
const GENERATED: usize = 58;
/// Fields of `metadata`, which the schema leaves to Kubernetes.
const METADATA: [&str; 14] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "uid",
];

/// Everything that an API server would refuse: kind and version, metadata, unknown fields, types and ranges, and, once these are right, the
/// rules in CEL.
pub(super) fn check(document: &Node) -> Vec<Problem> {
    let mut problems = Vec::new();
    let Yaml::Map(fields) = &document.value else {
        return vec![Problem::new("", format!("the document is {}, not a {KIND}", document.value.kind()))];
    };
    head(document, &mut problems);
    if !problems.is_empty() {
        return problems;
    }
    for (key, node) in fields {
        match key.name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => metadata(node, &mut problems),
            "spec" => walk(node, &schema()["properties"]["spec"], "spec", &mut problems),
            other => {
                let known = ["apiVersion", "kind", "metadata", "spec"];
                problems.push(Problem::unknown(other, "field", other, known));
            }
        }
    }
    if document.get("spec").is_none() {
        problems.push(Problem::new("spec", "is missing").remedy("give recipe, data and matrix"));
    }
    if document.get("metadata").is_none() {
        problems.push(Problem::new("metadata", "is missing").remedy("give metadata: {name: NAME}"));
    }
    if problems.is_empty() {
        problems.extend(rules(&named(document.to_json()), None));
    }
    problems
}

/// The object as the rules see it: an API server makes a name out of `generateName` before it looks at them.
fn named(mut object: Value) -> Value {
    let metadata = &mut object["metadata"];
    if let (Value::Null, Some(start)) = (&metadata["name"], metadata["generateName"].as_str()) {
        let start: String = start.chars().take(GENERATED).collect();
        metadata["name"] = format!("{start}xxxxx").into();
    }
    object
}

/// The rules in CEL over a manifest; `old` is what it replaces, for the rules about what may change.
pub fn rules(object: &Value, old: Option<&Value>) -> Vec<Problem> {
    let errors = Validator::new().validate(schema(), object, old).err();
    let problem = |e: kube::core::cel::ValidationError| {
        // A rule about several fields stands above them; its message then begins with the one that it is about.
        let named = e.message.split(' ').next().filter(|w| w.starts_with("spec.") || w.starts_with("metadata."));
        let path = named.unwrap_or(&e.field_path).trim_start_matches('.').to_owned();
        Problem::new(path, e.message.clone())
    };
    errors.into_iter().flat_map(kube::core::cel::ValidationErrors::into_vec).map(problem).collect()
}

/// Turns numbers and truth values into texts where the schema wants texts. They are reported as wrong already; this way everything else that is
/// wrong is found as well.
pub(super) fn quote(object: &mut Value) {
    fn walk(value: &mut Value, schema: &Value) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let child = &schema["properties"][name];
                    walk(value, if child.is_null() { &schema["additionalProperties"] } else { child });
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| walk(item, &schema["items"])),
            Value::Bool(_) | Value::Number(_) if schema["type"] == "string" => *value = value.to_string().into(),
            _ => {}
        }
    }
    if let Some(spec) = object.get_mut("spec") {
        walk(spec, &schema()["properties"]["spec"]);
    }
}

fn head(document: &Node, problems: &mut Vec<Problem>) {
    let text = |field| document.get(field).and_then(Node::text).map(String::as_str);
    match text("kind") {
        Some(KIND) => {}
        None => problems.push(Problem::new("kind", "is missing").remedy(format!("write kind: {KIND}"))),
        Some(other) => {
            problems
                .push(Problem::new("kind", format!("`{other}` is not {KIND}")).remedy(format!("write kind: {KIND}")));
        }
    }
    let remedy = format!("write apiVersion: {API_VERSION}");
    match text("apiVersion") {
        Some(API_VERSION) => {}
        None => problems.push(Problem::new("apiVersion", "is missing").remedy(remedy)),
        Some(other) => {
            let what = match other.split_once('/') {
                Some((GROUP, version)) => format!("version `{version}` is not one that this build reads"),
                _ => format!("`{other}` is not {API_VERSION}"),
            };
            problems.push(Problem::new("apiVersion", what).remedy(remedy));
        }
    }
}

fn metadata(node: &Node, problems: &mut Vec<Problem>) {
    let Yaml::Map(fields) = &node.value else {
        problems.push(Problem::new("metadata", format!("is {}, not a mapping", node.value.kind())));
        return;
    };
    for (key, value) in fields {
        let path = format!("metadata.{}", key.name);
        match key.name.as_str() {
            "name" | "generateName" | "namespace" if value.text().is_none() => {
                problems.push(Problem::new(path, format!("`{}` is {}, not a text", value.value, value.value.kind())));
            }
            "labels" | "annotations" => texts(value, &path, problems),
            name if METADATA.contains(&name) => {}
            name => problems.push(Problem::unknown(path, "field", name, METADATA)),
        }
    }
    if node.get("name").is_none() && node.get("generateName").is_none() {
        problems.push(Problem::new("metadata.name", "is missing").remedy("give the benchmark a name"));
    }
}

fn texts(node: &Node, path: &str, problems: &mut Vec<Problem>) {
    let Yaml::Map(fields) = &node.value else {
        problems.push(Problem::new(path, format!("is {}, not a mapping", node.value.kind())));
        return;
    };
    for (key, value) in fields.iter().filter(|(_, v)| v.text().is_none()) {
        let what = format!("`{}` is {}, not a text", value.value, value.value.kind());
        problems.push(Problem::new(format!("{path}.{}", key.name), what).remedy("write it in quotes"));
    }
}

/// Compares a value with its schema.
fn walk(node: &Node, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let amount = schema["x-kubernetes-int-or-string"] == true;
    let wanted = if amount { "amount" } else { schema["type"].as_str().unwrap_or("object") };
    match (wanted, &node.value) {
        ("object", Yaml::Map(fields)) => mapping(node, fields, schema, path, problems),
        ("array", Yaml::List(items)) => list(items, schema, path, problems),
        ("string" | "amount", Yaml::Text(text)) => string(text, schema, path, problems),
        ("integer" | "amount", Yaml::Int(number)) => integer(*number, schema, path, problems),
        ("boolean", Yaml::Bool(_)) => {}
        (_, value) => problems.push(mismatch(wanted, value, path)),
    }
}

fn mismatch(wanted: &str, value: &Yaml, path: &str) -> Problem {
    let article = match wanted {
        "object" => "a mapping",
        "array" => "a list",
        "string" => "a text",
        "integer" => "a whole number",
        "amount" => "an amount such as 2 or \"8Gi\"",
        _ => "true or false",
    };
    let problem = Problem::new(path, format!("`{value}` is {}, not {article}", value.kind()));
    match (wanted, value) {
        ("string" | "amount", Yaml::Int(_) | Yaml::Float(_) | Yaml::Bool(_)) => {
            problem.remedy(format!("write it in quotes: \"{value}\""))
        }
        // A leading zero makes an octal number for kubectl, and none for YAML 1.2: no reading is the right one.
        ("integer", Yaml::Float(number)) if number.fract() == 0.0 => {
            problem.remedy("write it with digits alone, without point, exponent or leading zero")
        }
        ("integer" | "boolean", Yaml::Text(text)) if text.parse::<i64>().is_ok() || text.parse::<bool>().is_ok() => {
            problem.remedy("write it without quotes")
        }
        _ => problem,
    }
}

fn mapping(
    node: &Node,
    fields: &[(crate::manifest::Key, Node)],
    schema: &Value,
    path: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(most) = schema["maxProperties"].as_u64().filter(|most| fields.len() as u64 > *most) {
        problems.push(Problem::new(path, format!("has {} fields, at most {most} are allowed", fields.len())));
    }
    let properties = schema["properties"].as_object();
    for (key, value) in fields {
        let path = format!("{path}.{}", key.name);
        let child = properties.and_then(|p| p.get(&key.name)).or_else(|| schema.get("additionalProperties"));
        match child {
            Some(_) if value.value == Yaml::Null => {}
            Some(child) => walk(value, child, &path, problems),
            None => {
                let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                problems.push(Problem::unknown(path, "field", &key.name, known));
            }
        }
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if node.get(name).is_none_or(|n| n.value == Yaml::Null) {
            let what = properties.and_then(|p| p[name]["description"].as_str()).unwrap_or_default();
            problems.push(Problem::new(format!("{path}.{name}"), "is missing").remedy(what.trim_end_matches('.')));
        }
    }
}

fn list(items: &[Node], schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let n = items.len() as u64;
    if schema["minItems"].as_u64().is_some_and(|least| n < least) {
        let least = &schema["minItems"];
        problems.push(Problem::new(path, format!("has {n} entries, at least {least} are needed")));
    }
    if schema["maxItems"].as_u64().is_some_and(|most| n > most) {
        let most = &schema["maxItems"];
        problems.push(Problem::new(path, format!("has {n} entries, at most {most} are allowed")));
    }
    for (i, item) in items.iter().enumerate() {
        walk(item, &schema["items"], &format!("{path}[{i}]"), problems);
    }
    if let Some(key) = schema["x-kubernetes-list-map-keys"][0].as_str() {
        let names: Vec<_> = items.iter().map(|item| item.get(key).and_then(Node::text)).collect();
        for (i, name) in names.iter().enumerate().filter(|(_, name)| name.is_some()) {
            if let Some(first) = names[..i].iter().position(|n| n == name) {
                let value = name.map_or("", String::as_str);
                let what = format!("`{value}` stands in {path}[{first}] already");
                problems.push(Problem::new(format!("{path}[{i}].{key}"), what).remedy("remove one of them"));
            }
        }
    }
}

fn string(text: &str, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    if let Some(known) = schema["enum"].as_array() {
        let known: Vec<&str> = known.iter().filter_map(Value::as_str).collect();
        if !known.contains(&text) {
            problems.push(Problem::unknown(path, noun(path), text, known));
        }
        return;
    }
    let length = text.chars().count() as u64;
    if let Some(most) = schema["maxLength"].as_u64().filter(|most| length > *most) {
        problems.push(Problem::new(path, format!("`{text}` is {length} characters long, at most {most} are allowed")));
    } else if schema["minLength"].as_u64().is_some_and(|least| length < least) {
        problems.push(Problem::new(path, "is empty").remedy("give it a value, or leave the field out"));
    } else if let Some(pattern) = schema["pattern"].as_str()
        && !Regex::new(pattern).expect("patterns of the schema are tested").is_match(text)
    {
        let problem = Problem::new(path, format!("`{text}` does not match {pattern}"));
        let what = schema["description"].as_str().unwrap_or("a number such as \"0.1\"");
        let first = what.split_once(". ").map_or(what, |(sentence, _)| sentence);
        problems.push(problem.remedy(first.trim_end_matches('.')));
    }
}

/// What the names of an enumeration are.
fn noun(path: &str) -> &'static str {
    static INDEX: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\d+\]").expect("a pattern"));
    match INDEX.replace_all(path, "").as_ref() {
        "spec.matrix.backbones.name" => "backbone",
        "spec.matrix.methods.name" => "method",
        "spec.recipe.name" => "recipe",
        _ => "value",
    }
}

fn integer(number: i128, schema: &Value, path: &str, problems: &mut Vec<Problem>) {
    let bound = |name: &str| schema[name].as_f64();
    let below = bound("minimum").is_some_and(|least| (number as f64) < least);
    let above = bound("maximum").is_some_and(|most| number as f64 > most);
    if below || above {
        let range = match (bound("minimum"), bound("maximum")) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (_, most) => format!("at most {}", most.unwrap_or_default()),
        };
        problems.push(Problem::new(path, format!("{number} is out of range: {range}")));
    }
}
