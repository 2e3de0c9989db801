//! Benchmarks, and what their trainers say.

use k8s_openapi::api::core::v1::Pod;
use mixbench::backend::fake;
use mixbench_crds::event::{Body, Position};
use mixbench_crds::exit::Exit;
use mixbench_crds::run::Run;
use serde_json::{Value, json};

/// A spec of these methods on CPUs, one trial each, two runs at once.
pub(crate) fn spec(methods: &[&str]) -> Value {
    let methods: Vec<Value> = methods.iter().map(|name| json!({"name": name})).collect();
    json!({
        "recipe": {"name": "quickstart", "overrides": {"epochs": 2}},
        "data": {"uri": "builtin:fashion-mnist-2k"},
        "matrix": {"backbones": [{"name": "resnet20"}], "methods": methods, "trials": 1},
        "parallelism": 2,
        "trainer": {"gpusPerNode": 0},
    })
}

/// The same, with these fields of the spec instead.
pub(crate) fn with(mut spec: Value, fields: Value) -> Value {
    merge(&mut spec, fields);
    spec
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The spec with a volume for checkpoints and results.
pub(crate) fn with_storage(spec: Value) -> Value {
    with(spec, json!({"storage": {"volume": {"claimName": "runs"}}}))
}

/// The run that a pod got to train.
pub(crate) fn run_of(pod: &Pod) -> Run {
    let annotations = pod.metadata.annotations.as_ref().expect("the pod has annotations");
    Run::parse(annotations.get("mixbench.dev/run-document").expect("the pod has its run")).unwrap()
}

/// The last words of a trainer that has finished this run with this top-1 in percent.
pub(crate) fn finished(run: &Run, top1: f64) -> String {
    said(run, Body::Finished { result: fake::trained(run, top1) })
}

/// The last words of a trainer that has failed.
pub(crate) fn failed(run: &Run, exit: Exit, message: &str) -> String {
    said(run, Body::Failed { exit, message: message.into(), rank: Some(0) })
}

/// The last words of a trainer that was told to stop.
pub(crate) fn stopped(run: &Run) -> String {
    said(run, Body::Stopped { position: Position { epoch: 1, step: 0 }, checkpoint: None })
}

fn said(run: &Run, body: Body) -> String {
    fake::said(run, body).to_termination()
}
