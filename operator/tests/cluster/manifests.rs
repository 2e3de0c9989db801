//! The API server refuses what `mixbench lint` refuses, in the same words where the words are ours.

use std::path::Path;
use std::process::Command;

use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use crate::bad;
use crate::support::control::Control;
use crate::support::stage::Stage;

/// Sends a manifest as `kubectl` does, with strict field validation; nothing is stored.
async fn ask(client: &Client, method: Method, path: &str, kind: &str, body: &Value) -> kube::Result<Value> {
    let uri = format!("/apis/mixbench.dev/v1alpha1/{path}?dryRun=All&fieldValidation=Strict");
    let request = Request::builder().method(method).uri(uri).header("content-type", kind);
    client.request(request.body(serde_json::to_vec(body).unwrap()).unwrap()).await
}

/// What the server says against a manifest.
#[track_caller]
fn refusal(answer: kube::Result<Value>) -> Option<String> {
    match answer {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message),
        Err(error) => panic!("{error}"),
    }
}

/// What `kubectl` prints; it must succeed.
#[track_caller]
fn kubectl(control: &Control, args: &[&str]) -> String {
    let out = Command::new("kubectl").args(args).env("KUBECONFIG", &control.kubeconfig).output().unwrap();
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap()
}

#[tokio::test]
async fn the_server_refuses_every_bad_manifest_as_lint_does() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let client = Control::shared().client().await;
    let path = format!("namespaces/{}/mixupbenchmarks", stage.namespace);
    let create = async |body: &Value| refusal(ask(&client, Method::POST, &path, "application/json", body).await);
    assert_eq!(create(&bad::good()).await, None);
    let mut missed = Vec::new();
    for (manifest, case) in bad::cases() {
        let said = create(&manifest).await.unwrap_or_default();
        let wanted = [Some(&case.field), case.words.as_ref(), case.value.as_ref()];
        if !wanted.into_iter().flatten().all(|words| said.contains(words.as_str())) {
            missed.push(format!("{}: wanted {wanted:?}\n{said}", case.case));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn the_server_lets_nothing_change_but_suspend_parallelism_retention_and_trials_upwards() {
    let stage = Stage::without_operator(&Control::shared()).await;
    let client = Control::shared().client().await;
    let mut spec = bad::good()["spec"].clone();
    spec["storage"] = json!({"keep": 3});
    stage.create("good", spec).await;
    let path = format!("namespaces/{}/mixupbenchmarks/good", stage.namespace);
    let change = async |spec: Value| {
        let body = json!({"spec": spec});
        refusal(ask(&client, Method::PATCH, &path, "application/merge-patch+json", &body).await)
    };
    let free = [
        json!({"suspend": true}),
        json!({"parallelism": 8}),
        json!({"retention": {"ttlSecondsAfterFinished": 60, "runJobsTtlSeconds": 0}}),
        json!({"matrix": {"trials": 3}}),
    ];
    for spec in free {
        assert_eq!(change(spec.clone()).await, None, "{spec}");
    }
    let fixed = [
        ("recipe", json!({"recipe": {"name": "pytorch-100ep"}})),
        ("recipe", json!({"recipe": {"overrides": {"epochs": 3}}})),
        ("data", json!({"data": {"sha256": "0".repeat(64)}})),
        ("trainer", json!({"trainer": {"image": "other"}})),
        ("trainer", json!({"trainer": {"resources": {"limits": {"cpu": 2}}}})),
        ("trainer", json!({"trainer": {"affinity": {"nodeAffinity": {}}}})),
        ("trainer", json!({"trainer": null})),
        ("reference", json!({"reference": {"benchmark": "other"}})),
        ("gate", json!({"gate": {"tolerance": "1"}})),
        ("storage", json!({"storage": {"volume": {"claimName": "results"}}})),
        ("storage", json!({"storage": null})),
        ("loadCheckpoint", json!({"loadCheckpoint": "/data/weights"})),
        ("matrix.baseSeed", json!({"matrix": {"baseSeed": 7}})),
        ("matrix.backbones", json!({"matrix": {"backbones": [{"name": "resnet18"}]}})),
        ("matrix.methods", json!({"matrix": {"methods": [{"name": "vanilla"}]}})),
        ("matrix.exclude", json!({"matrix": {"exclude": [{"backbone": "resnet20", "method": "mixup"}]}})),
    ];
    for (field, spec) in fixed {
        let said = change(spec.clone()).await.unwrap_or_default();
        let words = format!("spec.{field} cannot be changed: the runs have begun; create another benchmark with it");
        assert!(said.contains(&words), "{spec}: {said}");
    }
    let said = change(json!({"matrix": {"trials": 1}})).await.unwrap_or_default();
    let words = "trials can only be raised, and 1 is below 2: the runs have begun; create another benchmark with fewer";
    assert!(said.contains("spec.matrix.trials") && said.contains(words), "{said}");
}

#[tokio::test]
async fn the_server_takes_every_manifest_of_the_tree() {
    let control = Control::shared();
    let stage = Stage::without_operator(&control).await;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = Command::new("git").args(["ls-files", "-z", "*.yaml"]).current_dir(root).output().unwrap();
    let mut taken = 0;
    for file in String::from_utf8(files.stdout).unwrap().split_terminator('\0') {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        if !text.contains("\nkind: MixupBenchmark\n") || file.ends_with("bad/manifests.yaml") {
            continue;
        }
        let file = root.join(file);
        let file = file.to_str().unwrap();
        kubectl(&control, &["apply", "--dry-run=server", "--validate=strict", "-n", &stage.namespace, "-f", file]);
        taken += 1;
    }
    assert!(taken >= 3, "{taken}");
}

#[tokio::test]
async fn kubectl_knows_short_names_columns_and_units() {
    let control = Control::shared();
    let stage = Stage::without_operator(&control).await;
    let created = stage.create("good", bad::good()["spec"].clone()).await;
    let condition = json!({"type": "GatePassed", "status": "True", "reason": "Pass", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let body = json!({"status": {"summary": "2/2 done", "best": "resnet20 mixup 87.30", "conditions": [condition]}});
    let path = format!("namespaces/{}/mixupbenchmarks/{}/status", stage.namespace, created.metadata.name.unwrap());
    let client = control.client().await;
    let uri = format!("/apis/mixbench.dev/v1alpha1/{path}");
    let request =
        Request::builder().method(Method::PATCH).uri(uri).header("content-type", "application/merge-patch+json");
    client.request::<Value>(request.body(serde_json::to_vec(&body).unwrap()).unwrap()).await.unwrap();
    for name in ["mixb", "mixbench"] {
        let table = kubectl(&control, &["get", name, "-n", &stage.namespace]);
        let lines: Vec<String> = table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[0], "NAME SUMMARY GATE BEST AGE");
        assert!(lines[1].starts_with("good 2/2 done Pass resnet20 mixup 87.30 "), "{table}");
    }
    for (field, unit) in [
        ("spec.retention", "Seconds from the end of a run"),
        ("spec.trainer.resources", "bytes"),
        ("spec.gate", "in percentage points"),
        ("status.cells", "Mean top-1 in percent"),
    ] {
        let told = kubectl(&control, &["explain", &format!("mixb.{field}")]);
        let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(unit), "{field}: {told}");
    }
}
