//! What an API server and `kubectl explain` need of the schema.

use kube::core::cel::compile_schema;
use serde_json::Value;

use super::schema;

/// Calls `visit` with the path and schema of every property below `node`.
fn walk(node: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        visit(&path, child);
        walk(child, &path, visit);
    }
    for (part, mark) in [("items", "[]"), ("additionalProperties", "{}")] {
        if let Some(child) = node.get(part) {
            let path = format!("{path}{mark}");
            visit(&path, child);
            walk(child, &path, visit);
        }
    }
}

fn properties() -> Vec<(String, Value)> {
    let mut all = Vec::new();
    walk(schema(), "", &mut |path, node| all.push((path.to_owned(), node.clone())));
    // Kubernetes's own type of a condition.
    all.retain(|(path, _)| !path.starts_with(".status.conditions[]"));
    assert!(all.len() > 80, "the walk sees the schema");
    all
}

#[test]
fn every_field_is_explained() {
    for (path, node) in properties() {
        let part_of_another = path.ends_with("[]") || path.ends_with("{}");
        let text = node["description"].as_str().unwrap_or_default();
        assert!(part_of_another || text.len() > 8, "{path}");
        assert!(!text.contains("[`"), "{path}: a link of rustdoc means nothing to kubectl: {text}");
    }
}

#[test]
fn everything_that_can_grow_has_a_maximum() {
    for (path, node) in properties() {
        let bounded = match node["type"].as_str() {
            Some("array") => node["maxItems"].is_u64(),
            Some("string") => node["maxLength"].is_u64() || node["enum"].is_array() || node["format"] == "date-time",
            Some("integer") => !path.starts_with(".spec") || node["maximum"].is_number(),
            Some("object") => node.get("additionalProperties").is_none() || node["maxProperties"].is_u64(),
            Some("boolean") => true,
            _ => false,
        };
        assert!(bounded, "{path}: {node}");
    }
}

#[test]
fn the_schema_is_structural_and_its_rules_compile() {
    for (path, node) in properties() {
        for forbidden in ["$ref", "anyOf", "oneOf", "allOf", "nullable", "const", "uniqueItems"] {
            assert!(node.get(forbidden).is_none(), "{path} has {forbidden}");
        }
        if node.get("enum").is_none() && node["type"] == "object" {
            let both = node.get("properties").is_some() && node.get("additionalProperties").is_some();
            assert!(!both, "{path} mixes fields and a map");
        }
    }
    assert!(!schema().to_string().contains("string("), "an API server refuses messages with numbers for their cost");
    let compiled = compile_schema(schema());
    assert!(!compiled.has_errors(), "{:?}", compiled.compilation_errors());
}

#[test]
fn defaults_agree_with_the_types() {
    let text = r#"{"recipe": {"name": "quickstart"}, "data": {"uri": "builtin:x"},
        "matrix": {"backbones": [{"name": "a"}], "methods": [{"name": "b"}]}}"#;
    let given: Value = serde_json::from_str(text).expect("JSON");
    let typed: super::MixupBenchmarkSpec = serde_json::from_value(given.clone()).expect("a spec");
    let defaulted = kube::core::cel::apply_defaults(&schema()["properties"]["spec"], &given);
    let from_schema: super::MixupBenchmarkSpec = serde_json::from_value(defaulted).expect("a spec");
    assert_eq!(typed, from_schema);
}
