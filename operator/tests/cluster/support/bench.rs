//! Benchmarks, and what their trainers say.

use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Pod;
use mixbench_crds::event::{Body, EVENT_VERSION, Event};
use mixbench_crds::exit::Exit;
use mixbench_crds::metric::Score;
use mixbench_crds::result::{RESULT_VERSION, RunResult};
use mixbench_crds::run::Run;
use serde_json::{Value, json};

/// Validation images of every imagined run.
pub(crate) const IMAGES: u64 = 10_000;

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
    event(run, Body::Finished { result: result(run, top1) })
}

/// The result of a run with this top-1 in percent.
pub(crate) fn result(run: &Run, top1: f64) -> RunResult {
    let training = &run.spec.training;
    #[allow(clippy::cast_sign_loss, reason = "tests name percentages")]
    let correct1 = (top1 / 100.0 * IMAGES as f64).round() as u64;
    let scores: Vec<Score> =
        (1..=training.epochs).map(|epoch| Score { epoch, correct1, correct5: IMAGES - 1 }).collect();
    RunResult {
        version: RESULT_VERSION,
        run: run.id.clone(),
        nonce: run.nonce.clone(),
        attempt: run.attempt,
        metric: training.metric,
        window: training.metric.window(&scores),
        epochs: training.epochs,
        n: IMAGES,
        images: 4000,
        train_seconds: 12.345_678_9,
        data_fingerprint: "ab".repeat(32),
        parameters: 272_474,
        device: "imagined".into(),
        libtorch: "2.11.0".into(),
        checkpoint: None,
    }
}

/// The last words of a trainer that has failed.
pub(crate) fn failed(run: &Run, exit: Exit, message: &str) -> String {
    event(run, Body::Failed { exit, message: message.into(), rank: Some(0) })
}

/// The last words of a trainer that was told to stop.
pub(crate) fn stopped(run: &Run) -> String {
    event(run, Body::Stopped { position: mixbench_crds::event::Position { epoch: 1, step: 0 }, checkpoint: None })
}

fn event(run: &Run, body: Body) -> String {
    let time = SystemTime::UNIX_EPOCH.elapsed().map_or(Duration::ZERO, |d| d).as_millis();
    let event = Event {
        version: EVENT_VERSION,
        run: run.id.clone(),
        attempt: run.attempt,
        nonce: run.nonce.clone(),
        time: u64::try_from(time).unwrap(),
        body,
    };
    event.to_termination()
}
