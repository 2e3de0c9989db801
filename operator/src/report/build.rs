//! From a plan and what is known of its runs to a report.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use mixbench_crds::recipe::Recipe;
use mixbench_crds::result::RunResult;

use super::{CellRow, CellStatus, Environment, Point, REPORT_VERSION, Report, RunRow, RunStatus};
use crate::aggregate::{Cell, aggregate, outcome};
use crate::plan::{Plan, PlannedRun};

/// What is known of a run, wherever it was seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Where it stands.
    pub(super) status: RunStatus,
    /// What went wrong, if something did.
    pub(super) message: Option<String>,
    /// Its result, which outdoes what was said before it.
    pub(super) result: Option<RunResult>,
    /// Attempts that were started.
    pub(super) attempts: u32,
    /// Epochs finished so far.
    pub(super) epochs: u32,
    /// Top-1 in percent so far.
    pub(super) top1: Option<f64>,
    /// Training images a second so far.
    pub(super) images_per_second: Option<f64>,
    /// Seconds of training so far.
    pub(super) train_seconds: f64,
    /// Device of its last attempt that said it.
    pub(super) device: Option<String>,
    /// How a person gets at its log.
    pub(super) log: String,
    /// One point for every validated epoch, where they are known.
    pub(super) curve: Vec<Point>,
    /// Where and when it was measured, but for the version of mixbench.
    pub(super) environment: Environment,
}

impl Seen {
    /// A run that was never started.
    pub(super) fn nothing(log: String) -> Self {
        Self {
            status: RunStatus::Waiting,
            message: None,
            result: None,
            attempts: 0,
            epochs: 0,
            top1: None,
            images_per_second: None,
            train_seconds: 0.0,
            device: None,
            log,
            curve: Vec::new(),
            environment: Environment::default(),
        }
    }
}

impl Report {
    /// The report of a plan. `seen` says of each of its runs what is known; `command` makes the report anew.
    pub(super) fn build(plan: &Plan, seen: impl Fn(&PlannedRun) -> Seen, command: String, now: Timestamp) -> Self {
        let all: Vec<Seen> = plan.runs.iter().map(seen).collect();
        let of_run = || plan.runs.iter().zip(&all);
        let results: BTreeMap<String, RunResult> =
            of_run().filter_map(|(r, seen)| Some((r.run.id.clone(), seen.result.clone()?))).collect();
        let runs: Vec<RunRow> = of_run().map(|(r, seen)| run_row(r, seen)).collect();
        let cells = aggregate(plan, &results);
        let recipe = Recipe::find(&plan.recipe);
        let data = plan.runs.first().map_or(String::new(), |r| r.run.spec.data.name.clone());
        Self {
            version: REPORT_VERSION,
            name: plan.name.clone(),
            recipe: plan.recipe.clone(),
            recipe_title: recipe.map_or_else(|| plan.recipe.clone(), |r| r.title.clone()),
            recipe_source: recipe.map_or(String::new(), |r| r.source.clone()),
            overrides: recipe.map_or(Vec::new(), |r| overrides(plan, r)),
            data,
            metric: plan.metric,
            metric_rule: plan.metric.to_string(),
            gate: plan.gate.clone(),
            outcome: outcome(&plan.gate, &cells),
            cells: cells.into_iter().enumerate().map(|(index, cell)| cell_row(index, cell, &runs)).collect(),
            environment: environment(&all),
            runs,
            generated: now,
            command,
        }
    }
}

/// What training differs in from the recipe, as `path = value`.
fn overrides(plan: &Plan, recipe: &Recipe) -> Vec<String> {
    let Some(run) = plan.runs.first() else { return Vec::new() };
    let value = |training| serde_json::to_value(training).expect("a recipe has string keys and finite numbers");
    let mut found = Vec::new();
    differences("", &value(&recipe.training), &value(&run.run.spec.training), &mut found);
    found
}

fn differences(path: &str, old: &serde_json::Value, new: &serde_json::Value, found: &mut Vec<String>) {
    use serde_json::Value::{Null, Object};
    match (old, new) {
        (Object(old), Object(new)) => {
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&inner, old.get(key).unwrap_or(&Null), new.get(key).unwrap_or(&Null), found);
            }
        }
        (old, new) if old == new => {}
        (_, new) => found.push(format!("{path} = {new}")),
    }
}

fn cell_row(index: usize, cell: Cell, runs: &[RunRow]) -> CellRow {
    let mine: Vec<&RunRow> = runs.iter().filter(|r| r.cell == index).collect();
    let failed = mine.iter().filter(|r| r.status == RunStatus::Failed);
    let problems: Vec<String> = failed
        .map(|r| format!("trial {} failed: {}; log: {}", r.trial, r.message.as_deref().unwrap_or("no reason"), r.log))
        .collect();
    let status = match (problems.is_empty(), cell.n < cell.trials) {
        (false, _) => CellStatus::Failed,
        (true, true) => CellStatus::Incomplete,
        (true, false) => CellStatus::Complete,
    };
    CellRow { cell, status, problems }
}

fn run_row(planned: &PlannedRun, seen: &Seen) -> RunRow {
    let run = &planned.run;
    let result = seen.result.as_ref();
    RunRow {
        id: run.id.clone(),
        cell: planned.cell,
        trial: run.trial,
        seed: run.spec.seed,
        status: seen.status,
        top1: result.map(RunResult::top1).or(seen.top1),
        top5: result.map(RunResult::top5),
        epochs: result.map_or(seen.epochs, |r| r.epochs),
        epochs_planned: run.spec.training.epochs,
        images_per_second: match result {
            Some(r) if r.train_seconds > 0.0 => Some(r.images as f64 / r.train_seconds),
            Some(_) => None,
            None => seen.images_per_second,
        },
        train_seconds: result.map_or(seen.train_seconds, |r| r.train_seconds),
        attempts: seen.attempts,
        device: result.map(|r| r.device.clone()).or_else(|| seen.device.clone()),
        world_size: run.spec.world.size(),
        message: seen.message.clone(),
        log: seen.log.clone(),
        curve: seen.curve.clone(),
    }
}

fn environment(all: &[Seen]) -> Environment {
    /// Each value once, in order.
    fn once<'a>(values: impl Iterator<Item = &'a String>) -> Vec<String> {
        values.collect::<BTreeSet<_>>().into_iter().cloned().collect()
    }
    let parts = || all.iter().map(|seen| &seen.environment);
    let results = || all.iter().filter_map(|seen| seen.result.as_ref());
    Environment {
        mixbench: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: once(parts().flat_map(|e| &e.libtorch).chain(results().map(|r| &r.libtorch))),
        devices: once(parts().flat_map(|e| &e.devices).chain(results().map(|r| &r.device))),
        data_fingerprints: once(
            parts().flat_map(|e| &e.data_fingerprints).chain(results().map(|r| &r.data_fingerprint)),
        ),
        first_event: parts().filter_map(|e| e.first_event).min(),
        last_event: parts().filter_map(|e| e.last_event).max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fixture::plan;

    #[test]
    fn what_differs_from_the_recipe_is_listed() {
        let report =
            |plan: &Plan| Report::build(plan, |_| Seen::nothing(String::new()), String::new(), Timestamp::UNIX_EPOCH);
        let mut plan = plan(1, 1);
        assert!(report(&plan).overrides.is_empty());
        plan.runs[0].run.spec.training.epochs = 99;
        plan.runs[0].run.spec.training.schedule.lr = 0.5;
        assert_eq!(report(&plan).overrides, ["epochs = 99", "schedule.lr = 0.5"]);
    }
}
