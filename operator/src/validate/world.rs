//! Data, processes, batches, and the gate.

use mixbench_crds::benchmark::{DATA_MOUNT, DataSpec, GateSpec, Overrides, TrainerSpec};
use mixbench_crds::catalog::{Catalog, DatasetCard};
use mixbench_crds::run::{Data, World};
use mixbench_crds::training::Training;

use super::problem::Problem;
use crate::plan::Gate;

/// What is learnt, its card if it is known, and its URI.
pub(super) fn data(spec: &DataSpec, problems: &mut Vec<Problem>) -> (Data, Option<&'static DatasetCard>, String) {
    let uri = uri(spec, problems);
    let name = name(spec, &uri, problems);
    let card = Catalog::get().dataset(&name);
    let mut channels = |field: &str, given: Option<&Vec<String>>, known: Option<[f64; 3]>| {
        let path = format!("spec.data.{field}");
        let Some(given) = given else {
            if known.is_none() && !name.is_empty() {
                let what = format!("is missing, and `{name}` is not a data set with known values");
                let names: Vec<&str> = Catalog::get().datasets.iter().map(|d| d.name.as_ref()).collect();
                let remedy = format!(
                    "give three decimals such as [\"0.5\", \"0.5\", \"0.5\"], or a known name: {}",
                    names.join(", ")
                );
                problems.push(Problem::new(path, what).remedy(remedy));
            }
            return known.unwrap_or_default();
        };
        let mut values = [0.0; 3];
        for (i, text) in given.iter().take(3).enumerate() {
            match text.parse::<f64>() {
                Ok(value) if (0.0..=1.0).contains(&value) && (field == "mean" || value > 0.0) => values[i] = value,
                _ => {
                    let range = if field == "mean" { "0 to 1" } else { "above 0, at most 1" };
                    problems.push(Problem::new(&path, format!("{text} is out of range: {range}")));
                }
            }
        }
        values
    };
    let mean = channels("mean", spec.mean.as_ref(), card.map(|c| c.mean));
    let std = channels("std", spec.std.as_ref(), card.map(|c| c.std));
    (Data { name, sha256: spec.sha256.clone(), mean, std }, card, uri)
}

fn uri(spec: &DataSpec, problems: &mut Vec<Problem>) -> String {
    let sources = &Catalog::get().sources;
    let uri = match (&spec.uri, &spec.volume) {
        (Some(uri), None) => uri.clone(),
        (None, Some(volume)) => match &volume.sub_path {
            Some(path) => format!("{}:{DATA_MOUNT}/{path}", volume.format),
            None => format!("{}:{DATA_MOUNT}", volume.format),
        },
        _ => {
            problems.push(Problem::new("spec.data", "give exactly one of uri and volume"));
            return String::new();
        }
    };
    let known = || sources.iter().map(|s| s.scheme.as_ref());
    match uri.split_once(':') {
        Some((scheme, rest)) if known().any(|k| k == scheme) => {
            if rest.is_empty() {
                let what = &sources.iter().find(|s| s.scheme == scheme).expect("found above").summary;
                problems.push(
                    Problem::new("spec.data.uri", format!("`{uri}` names no place")).remedy(what.trim_end_matches('.')),
                );
            }
        }
        Some((scheme, _)) => {
            problems.push(Problem::unknown("spec.data.uri", "kind of data", scheme, known()));
            return String::new();
        }
        None => {
            let remedy = format!("write KIND:PLACE, where KIND is one of {}", known().collect::<Vec<_>>().join(", "));
            problems.push(Problem::new("spec.data.uri", format!("`{uri}` is not a data URI")).remedy(remedy));
            return String::new();
        }
    }
    uri
}

fn name(spec: &DataSpec, uri: &str, problems: &mut Vec<Problem>) -> String {
    let builtin = uri.strip_prefix("builtin:");
    if let Some(builtin) = builtin {
        let compiled = Catalog::get().datasets.iter().filter(|d| d.uri.is_some());
        if !compiled.clone().any(|d| d.uri.as_deref() == Some(uri)) {
            let names = compiled.map(|d| d.name.as_ref());
            problems.push(Problem::unknown("spec.data.uri", "built-in data set", builtin, names));
            return String::new();
        }
        if spec.name.as_deref().is_some_and(|name| name != builtin) {
            let given = spec.name.as_deref().unwrap_or_default();
            let what = format!("`{given}` is not what {uri} holds");
            problems.push(Problem::new("spec.data.name", what).remedy(format!("leave it out, or write {builtin}")));
        }
        return builtin.to_owned();
    }
    spec.name.clone().unwrap_or_else(|| {
        if !uri.is_empty() {
            let known: Vec<&str> = Catalog::get().datasets.iter().map(|d| d.name.as_ref()).collect();
            problems.push(
                Problem::new("spec.data.name", format!("is missing: what lies at {uri} must be named"))
                    .remedy(format!("one of {}, or a name of your own with mean and std", known.join(", "))),
            );
        }
        String::new()
    })
}

/// Processes and devices of each run.
pub(super) const fn world(spec: &TrainerSpec) -> World {
    World {
        nodes: spec.nodes,
        gpus_per_node: spec.gpus_per_node,
        processes_per_node: spec.processes_per_node,
        threads_per_process: spec.threads_per_process,
    }
}

/// The batch of a step must be whole micro-batches on every process.
pub(super) fn batches(training: &Training, world: &World, overrides: Option<&Overrides>, problems: &mut Vec<Problem>) {
    let (global, micro) = (training.global_batch, training.micro_batch);
    let Some(size) = world.nodes.checked_mul(world.local_size()).filter(|size| *size > 0) else {
        problems.push(
            Problem::new("spec.trainer", "there is no process").remedy("nodes and processesPerNode must be at least 1"),
        );
        return;
    };
    if training.accumulation(size).is_some() {
        return;
    }
    let at_once = u64::from(micro) * u64::from(size);
    let path = match overrides {
        Some(o) if o.global_batch.is_some() => "spec.recipe.overrides.globalBatch",
        Some(o) if o.micro_batch.is_some() => "spec.recipe.overrides.microBatch",
        _ if world.gpus_per_node > 0 => "spec.trainer.gpusPerNode",
        _ => "spec.trainer.processesPerNode",
    };
    let whole = u64::from(global).div_ceil(at_once) * at_once;
    let smaller = (1..=micro).rev().find(|m| global.is_multiple_of(m * size));
    let remedy = match smaller {
        Some(m) => format!("set spec.recipe.overrides.microBatch: {m}, or globalBatch: {whole}"),
        None => format!("set spec.recipe.overrides.globalBatch: {whole}, or use another number of processes"),
    };
    let message = format!(
        "globalBatch {global} is not a multiple of microBatch {micro} × {size} processes = {at_once} images at once"
    );
    problems.push(Problem::new(path, message).remedy(remedy));
}

/// How cells are judged.
pub(super) fn gate(spec: &GateSpec, problems: &mut Vec<Problem>) -> Gate {
    let mut number = |field: &str, text: &str, range: std::ops::Range<f64>| {
        let value = text.parse::<f64>().ok().filter(|v| range.contains(v));
        if value.is_none() {
            let what = format!("`{text}` is out of range: {} ≤ value < {}", range.start, range.end);
            problems.push(Problem::new(format!("spec.gate.{field}"), what));
        }
        value.unwrap_or_default()
    };
    Gate {
        tolerance: number("tolerance", &spec.tolerance, 0.0..100.0),
        confidence: (spec.confidence != "none").then(|| number("confidence", &spec.confidence, 0.5..1.0)),
        min_trials: spec.min_trials,
        on_inconclusive: spec.on_inconclusive,
    }
}
