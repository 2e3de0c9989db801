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
            None if node["x-kubernetes-int-or-string"] == true => node["maxLength"].is_u64(),
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

#[test]
fn all_but_four_fields_are_fixed() {
    let spec = &schema()["properties"]["spec"];
    let rules = spec["x-kubernetes-validations"].to_string();
    let fixed = |path: &str| rules.contains(&format!("self.{path} == oldSelf.{path}"));
    let names = |node: &Value| node["properties"].as_object().expect("fields").keys().cloned().collect::<Vec<_>>();
    let inside = names(&spec["properties"]["matrix"]).into_iter().map(|name| format!("matrix.{name}"));
    let all = names(spec).into_iter().filter(|name| name != "matrix").chain(inside);
    let free: Vec<String> = all.filter(|path| !fixed(path)).collect();
    // Trials have a rule of their own: upwards only.
    assert_eq!(free, ["parallelism", "retention", "suspend", "matrix.trials"]);
}

#[test]
fn parts_of_a_pod_become_those_of_kubernetes_with_nothing_lost() {
    let given = r#"{
        "resources": {"requests": {"cpu": 2}, "limits": {"cpu": "4", "memory": "8Gi"}},
        "env": [{"name": "A", "value": "$(B)"}, {"name": "C"}],
        "imagePullSecrets": [{"name": "s"}],
        "tolerations": [{"key": "a/b", "value": "c", "effect": "NoExecute", "tolerationSeconds": 9}, {"operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution":
                    {"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["1"]}]}]},
                "preferredDuringSchedulingIgnoredDuringExecution":
                    [{"weight": 5, "preference": {"matchExpressions": [{"key": "k", "operator": "Exists"}]}}]
            },
            "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 1, "podAffinityTerm": {"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": "zone"}}]},
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [{"labelSelector": {"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["v"]}]}, "topologyKey": "zone"}]}
        },
        "volumes": [
            {"name": "a", "configMap": {"name": "x", "optional": true}},
            {"name": "b", "secret": {"secretName": "x", "optional": false}},
            {"name": "c", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "x", "readOnly": true}},
            {"name": "e", "csi": {"driver": "x.y", "readOnly": true, "fsType": "xfs", "volumeAttributes": {"k": "v"}, "nodePublishSecretRef": {"name": "s"}}}
        ],
        "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "b", "readOnly": true}]
    }"#;
    let spec: super::TrainerSpec = serde_json::from_str(given).expect("a trainer");
    let ours = serde_json::to_value(&spec).expect("JSON");
    assert_eq!(serde_json::to_value(spec.affinity.as_ref().expect("given").to_k8s()).expect("JSON"), ours["affinity"]);
    for (i, toleration) in spec.tolerations.iter().enumerate() {
        assert_eq!(serde_json::to_value(toleration.to_k8s()).expect("JSON"), ours["tolerations"][i]);
    }
    for (i, volume) in spec.volumes.iter().enumerate() {
        let mut expected = ours["volumes"][i].clone();
        expected["name"] = format!("extra-{}", volume.name).into();
        assert_eq!(serde_json::to_value(volume.to_k8s()).expect("JSON"), expected);
    }
    let mount = serde_json::to_value(spec.volume_mounts[0].to_k8s()).expect("JSON");
    assert_eq!(mount.to_string(), r#"{"mountPath":"/a","name":"extra-a","readOnly":true,"subPath":"b"}"#);
    let resources = serde_json::to_value(spec.resources.expect("given").to_k8s()).expect("JSON");
    assert_eq!(resources.to_string(), r#"{"limits":{"cpu":"4","memory":"8Gi"},"requests":{"cpu":"2"}}"#);
    assert_eq!(
        serde_json::to_value(spec.env[0].to_k8s()).expect("JSON").to_string(),
        r#"{"name":"A","value":"$$(B)"}"#
    );
    assert_eq!(spec.image_pull_secrets[0].to_k8s().name, "s");
}
